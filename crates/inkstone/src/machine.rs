//! What this machine is and can do.

use inkstone_kernels::isa;
use inkstone_recipe::{Interrupt, Machine, Measure, RunEnvironment};

use crate::printer::Printer;

/// Rates measured now, in about half a second.
pub(crate) fn measured() -> Machine {
    let rates = isa::measure();
    Machine {
        flops_per_second: rates.flops_per_second,
        bytes_per_second: rates.bytes_per_second,
        threads: rayon::current_num_threads(),
        memory_bytes: memory_bytes().unwrap_or(0),
    }
}

/// What a run needs to know of its surroundings.
pub(crate) fn environment<'a>(
    printer: &'a Printer,
    interrupt: &'a Interrupt,
    measure: Option<Measure<'a>>,
) -> RunEnvironment<'a> {
    RunEnvironment {
        program: env!("CARGO_PKG_VERSION").to_owned(),
        command: std::env::args().collect::<Vec<_>>().join(" "),
        numeric_path: isa::numeric_path(),
        measure,
        progress: printer,
        interrupt,
    }
}

/// Physical memory in bytes.
pub(crate) fn memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The processor by its maker's name.
pub(crate) fn cpu_name() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned())
}

/// Turns Ctrl-C into a wish to stop: once, finish the step and save; twice, stop at once.
pub(crate) fn stop_on_ctrl_c() -> anyhow::Result<Interrupt> {
    let interrupt = Interrupt::default();
    let asked = interrupt.clone();
    ctrlc::set_handler(move || {
        if asked.request() > 0 {
            leave();
        }
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"\nfinishing the step and saving; Ctrl-C again stops at once\n",
        );
    })?;
    Ok(interrupt)
}

#[expect(clippy::exit, reason = "the second Ctrl-C asks for just that; nothing half-written is ever in place")]
fn leave() {
    std::process::exit(130);
}
