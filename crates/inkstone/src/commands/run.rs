//! `inkstone run`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use inkstone_recipe::{Options, RunReport, Store};

use super::profile::Profile;
use crate::cli::Run;
use crate::printer::{Printer, duration, short, thousands};
use crate::{machine, stages};

pub(crate) fn run(args: &Run, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let recipe = stages::load(&args.recipe, &args.sets)?;
    let registry = stages::registry();
    if args.resolve {
        printer.data(recipe.resolved_toml(&registry)?.trim_end())?;
        return Ok(ExitCode::SUCCESS);
    }
    recipe.check(&registry)?;
    let store = Store::open(runs)?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let options = Options { only: args.only.clone(), from: args.from.clone(), wait: !args.no_wait };
    let (started, profile) = (Instant::now(), Profile::start(args.profile.as_deref())?);
    let environment = machine::environment(printer, &interrupt, Some(&machine::measured));
    let report = inkstone_recipe::run(&recipe, &registry, &store, &options, &environment)?;
    let page = crate::report::write(&report)?;
    summarise(&report, &page, started.elapsed().as_secs_f64(), printer);
    profile.finish(printer)?;
    Ok(ExitCode::SUCCESS)
}

/// Where things are, and what to type next.
fn summarise(report: &RunReport, page: &Path, seconds: f64, printer: &Printer) {
    let cached = report.stages.iter().filter(|stage| stage.cached).count();
    printer.talk(&format!(
        "\n{} is done in {} ({cached} of {} stages from the cache)\n",
        report.recipe,
        duration(seconds),
        report.stages.len()
    ));
    let links = report.stages.iter().map(|stage| stage.link.display().to_string().len());
    let width = links.max().unwrap_or(0);
    for stage in &report.stages {
        printer.talk(&format!(
            "  {:<18} {:<width$}  {}",
            stage.name,
            stage.link.display().to_string(),
            figures(&stage.artifact.manifest.metrics)
        ));
    }
    printer.talk(&format!("  {:<18} {}", "report", page.display()));
    let speaks = |kind: &str| inkstone_train::MODELS.contains(&kind);
    if let Some(model) = report.stages.iter().rev().find(|stage| speaks(&stage.artifact.manifest.kind)) {
        let verb = if model.artifact.manifest.kind == "pretrain" { "generate" } else { "chat" };
        printer.talk(&format!("\nNext:  inkstone {verb} -m {}", model.link.display()));
    }
}

/// The metrics that people look for, in one line.
fn figures(metrics: &inkstone_recipe::Metrics) -> String {
    let is_model = metrics.contains_key("parameters");
    let documents = if metrics.contains_key("conversations") { "conversations" } else { "documents" };
    let shown = [
        (documents, documents),
        ("facts", "facts"),
        (if is_model { "" } else { "vocab_size" }, "tokens in the vocabulary"),
        ("train_tokens", "tokens"),
        ("parameters", "parameters"),
        ("loss", "loss"),
        ("bits_per_byte", "bits per byte"),
        ("accuracy_en", "right in English"),
        ("accuracy_zh", "right in Chinese"),
    ];
    let figure = |(key, label): (&str, &str)| {
        let value = metrics.get(key)?.as_f64()?;
        Some(match key {
            "loss" | "bits_per_byte" => format!("{value:.3} {label}"),
            key if key.starts_with("accuracy") => format!("{:.1} % {label}", value * 100.0),
            _ if value < 1e6 => format!("{} {label}", thousands(value as u64)),
            _ => format!("{} {label}", short(value)),
        })
    };
    shown.into_iter().filter_map(figure).collect::<Vec<_>>().join(", ")
}
