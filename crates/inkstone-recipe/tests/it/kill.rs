//! A process killed in the middle of a stage.

use std::process::{Command, Stdio};
use std::time::Duration;

use inkstone_recipe::{Options, Recipe, RunEnvironment, Silent, Store, run};

use crate::toys::{Bench, RECIPE, registry};

const FOLDER: &str = "INKSTONE_TEST_KILL_FOLDER";
const SETS: [&str; 2] = ["slow.steps=30", "slow.pause_ms=10"];

/// The process that is killed: this test binary again, with a folder in its environment.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let folder = std::path::Path::new(&folder);
    let recipe = Recipe::load(&folder.join("toy.toml"), &SETS.map(str::to_owned)).unwrap();
    let environment = RunEnvironment {
        program: "0.1.0".to_owned(),
        command: "child".to_owned(),
        numeric_path: "none".to_owned(),
        measure: None,
        progress: &Silent,
        interrupt: &inkstone_recipe::Interrupt::default(),
    };
    run(&recipe, &registry(), &Store::open(&folder.join("runs")).unwrap(), &Options::default(), &environment).unwrap();
}

fn spawn(bench: &Bench) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "kill::child"]).env(FOLDER, bench.folder.path()).stdout(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn killed_at_many_moments_gives_the_same_bytes() {
    let whole = Bench::new();
    whole.run(RECIPE, &SETS);
    let bench = Bench::new();
    std::fs::write(bench.path("toy.toml"), RECIPE).unwrap();
    for milliseconds in [3, 20, 60, 90, 120, 75] {
        let mut child = spawn(&bench);
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let report = bench.run(RECIPE, &SETS);
    for stage in report.stages {
        let expected = whole.artifact(&stage.name).manifest;
        assert_eq!(stage.artifact.manifest.content, expected.content, "{}", stage.name);
        stage.artifact.check().unwrap();
    }
    assert_eq!(std::fs::read_dir(bench.path("runs/.store/partial")).unwrap().count(), 0);
}

#[test]
fn the_lock_ends_with_its_process() {
    let bench = Bench::new();
    std::fs::write(bench.path("toy.toml"), RECIPE).unwrap();
    let mut child = spawn(&bench);
    while !bench.path("runs/.store/partial").read_dir().is_ok_and(|mut d| d.next().is_some()) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let hurry = Options { wait: false, ..Options::default() };
    let error = bench.run_with(RECIPE, &SETS, &hurry).unwrap_err().to_string();
    assert!(error.contains(&format!("in use by process {} (child)", child.id())), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    bench.run_with(RECIPE, &SETS, &hurry).unwrap();
}

#[test]
fn a_second_run_waits_and_says_so() {
    let bench = Bench::new();
    std::fs::write(bench.path("toy.toml"), RECIPE).unwrap();
    let mut child = spawn(&bench);
    while !bench.path("runs/.store/partial").read_dir().is_ok_and(|mut d| d.next().is_some()) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let report = bench.run(RECIPE, &SETS);
    assert!(bench.talk.text().contains("; waiting"), "{}", bench.talk.text());
    assert!(report.stages.iter().all(|s| s.cached));
    assert!(child.wait().unwrap().success());
}
