use std::process::Command;

use inkstone_kernels::isa::{Isa, isa};

/// Runs all the other tests of this file again on every path that this machine has.
#[test]
fn every_path_of_this_machine_passes() {
    if std::env::var_os("INKSTONE_ISA").is_some() {
        println!("skipped: INKSTONE_ISA is set, so this run is about that path alone");
        return;
    }
    let (has, lacks): (Vec<Isa>, Vec<Isa>) = Isa::ALL.into_iter().partition(|isa| isa.is_available());
    for isa in has {
        let mut tests = Command::new(std::env::current_exe().unwrap());
        let output = tests.env("INKSTONE_ISA", isa.name()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}:\n{text}", isa.name());
        assert!(text.contains("isa::the_asked_path_is_taken ... ok"), "{}:\n{text}", isa.name());
    }
    for isa in lacks {
        println!("skipped: this machine cannot run {}", isa.name());
    }
}

#[test]
fn the_asked_path_is_taken() {
    match std::env::var("INKSTONE_ISA") {
        Ok(asked) => assert_eq!(isa().name(), asked),
        Err(_) => assert_eq!(Some(isa()), Isa::ALL.into_iter().rev().find(|isa| isa.is_available())),
    }
}
