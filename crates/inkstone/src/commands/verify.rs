//! `inkstone verify`.

use std::path::Path;
use std::process::ExitCode;

use inkstone_recipe::{Outcome, Store};

use crate::cli::One;
use crate::printer::{Printer, duration};
use crate::{machine, stages};

pub(crate) fn verify(args: &One, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let store = Store::open(runs)?;
    let artifact = store.find(&args.artifact)?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let environment = machine::environment(printer, &interrupt, None);
    let report = inkstone_recipe::verify(&artifact, &store, &stages::registry(), &environment)?;
    if args.json {
        printer.json(&report)?;
    } else {
        for stage in &report.stages {
            let outcome = match &stage.outcome {
                Outcome::Same => "same bytes".to_owned(),
                Outcome::Different { files } => {
                    let files: Vec<String> = files.iter().map(|file| format!("{} ({})", file.path, file.how)).collect();
                    format!("DIFFERENT: {}", files.join(", "))
                }
                Outcome::CouldNot { reason } => format!("could not be made again: {reason}"),
            };
            printer.data(&format!(
                "{:<18} {:<10} {:>10}  {outcome}",
                stage.stage,
                stage.kind,
                duration(stage.seconds)
            ))?;
        }
    }
    Ok(if report.all_same() { ExitCode::SUCCESS } else { ExitCode::from(1) })
}
