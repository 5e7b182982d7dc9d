//! `inkstone show`.

use std::path::Path;
use std::process::ExitCode;

use inkstone_recipe::Store;

use crate::cli::One;
use crate::printer::Printer;

pub(crate) fn show(args: &One, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let store = Store::open(runs)?;
    let artifact = store.find(&args.artifact)?;
    let lineage = inkstone_recipe::lineage(&artifact, &store)?;
    if args.json {
        printer.json(&lineage)?;
    } else {
        printer.data(lineage.to_string().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
