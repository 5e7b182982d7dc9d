//! `inkstone ls`.

use std::path::Path;
use std::process::ExitCode;

use inkstone_recipe::Store;

use crate::cli::Json;
use crate::printer::{Printer, bytes};

pub(crate) fn ls(args: &Json, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let listed = inkstone_recipe::list(&Store::open(runs)?)?;
    if args.json {
        printer.json(&listed)?;
        return Ok(ExitCode::SUCCESS);
    }
    if listed.is_empty() {
        printer.talk("no artifacts yet; `inkstone run` makes some");
    }
    for artifact in listed {
        let links = if artifact.links.is_empty() { "(unused)".to_owned() } else { artifact.links.join(", ") };
        printer.data(&format!(
            "{:<12} {:<10} {:>9}  {}  {links}",
            artifact.content.short(),
            artifact.kind,
            bytes(artifact.bytes),
            artifact.ended
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}
