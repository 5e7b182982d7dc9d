//! `inkstone diff`.

use std::path::Path;
use std::process::ExitCode;

use inkstone_recipe::Store;

use crate::cli::Diff;
use crate::printer::Printer;

pub(crate) fn diff(args: &Diff, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let store = Store::open(runs)?;
    let diff = inkstone_recipe::diff(&store.find(&args.a)?, &store.find(&args.b)?);
    if args.json {
        printer.json(&diff)?;
    } else if diff.is_empty() {
        printer.talk("nothing differs");
    } else {
        printer.data(diff.to_string().trim_end())?;
    }
    Ok(if diff.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
