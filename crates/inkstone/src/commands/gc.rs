//! `inkstone gc`.

use std::path::Path;
use std::process::ExitCode;

use inkstone_recipe::{Interrupt, Store};

use crate::cli::Gc;
use crate::machine;
use crate::printer::{Printer, bytes};

pub(crate) fn gc(args: &Gc, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let interrupt = Interrupt::default();
    let report =
        inkstone_recipe::gc(&Store::open(runs)?, args.dry_run, &machine::environment(printer, &interrupt, None))?;
    if args.json {
        printer.json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    for artifact in &report.removed {
        printer.data(&format!(
            "{:<12} {:<18} {:>9}",
            artifact.content.short(),
            artifact.stage,
            bytes(artifact.bytes)
        ))?;
    }
    let verb = if args.dry_run { "would remove" } else { "removed" };
    let (removed, partials) = (report.removed.len(), report.partials);
    printer.talk(&format!(
        "{verb} {removed} artifacts and {partials} partial ones, {}; kept {}",
        bytes(report.bytes),
        report.kept
    ));
    Ok(ExitCode::SUCCESS)
}
