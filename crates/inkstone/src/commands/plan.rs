//! `inkstone plan`.

use std::path::Path;
use std::process::ExitCode;

use inkstone_recipe::{Estimate, Options, Plan, PlannedStage, Store};
use serde_json::json;

use crate::cli;
use crate::printer::{Printer, bytes, duration, short};
use crate::{machine, stages};

pub(crate) fn plan(args: &cli::Plan, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let recipe = stages::load(&args.recipe, &args.sets)?;
    let (registry, store) = (stages::registry(), Store::open(runs)?);
    printer.talk("measuring this machine …");
    let machine = machine::measured();
    let plan = inkstone_recipe::plan(&recipe, &registry, &store, &Options::default(), &machine)?;
    if args.json {
        printer.json(&json!({"machine": machine, "plan": plan}))?;
    } else {
        print(&plan, printer)?;
        let (flops, read) = (machine.flops_per_second / 1e9, machine.bytes_per_second / 1e9);
        printer.talk(&format!(
            "\nThis machine: {flops:.0} GFLOP/s (f32), {read:.1} GB/s read, {} threads, {}.",
            machine.threads,
            bytes(machine.memory_bytes)
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn print(plan: &Plan, printer: &Printer) -> anyhow::Result<()> {
    printer
        .data(&row(["stage", "kind", "parameters", "tokens", "FLOPs", "time", "memory", "state"].map(str::to_owned)))?;
    for stage in &plan.stages {
        let state = if stage.cached { "cached".to_owned() } else { state(stage) };
        printer.data(&line(&stage.name, &stage.kind, &stage.estimate, state))?;
    }
    printer.data(&line("to do", "", &plan.total, String::new()))?;
    Ok(())
}

fn state(stage: &PlannedStage) -> String {
    let reasons = stage.reasons.join("; ");
    if stage.resumes { format!("goes on where it stopped; {reasons}") } else { reasons }
}

fn line(name: &str, kind: &str, estimate: &Estimate, state: String) -> String {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    row([
        name.to_owned(),
        kind.to_owned(),
        or_dash(estimate.parameters.map(|n| short(n as f64))),
        or_dash(estimate.tokens.map(|n| short(n as f64))),
        or_dash(estimate.flops.map(short)),
        or_dash(estimate.seconds.map(duration)),
        or_dash(estimate.peak_bytes.map(bytes)),
        state,
    ])
}

fn row([name, kind, parameters, tokens, flops, time, memory, state]: [String; 8]) -> String {
    format!("{name:<18} {kind:<10} {parameters:>10} {tokens:>8} {flops:>8} {time:>13} {memory:>9}  {state}")
        .trim_end()
        .to_owned()
}
