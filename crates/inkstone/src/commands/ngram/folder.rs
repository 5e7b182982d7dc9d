//! `inkstone eval` and `inkstone generate` for the folder of an n-gram stage.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use inkstone_classic::ngram::{Drawing, Mixture, Talk, evaluate, folder};
use serde_json::json;

use super::generate::go_on;
use crate::cli::{Eval, Generate};
use crate::commands::generate::without_escapes;
use crate::hint::hinted;
use crate::machine;
use crate::printer::Printer;

pub(crate) fn eval_folder(path: &Path, args: &Eval, printer: &Printer) -> anyhow::Result<ExitCode> {
    if args.context.is_some() {
        return Err(hinted("an n-gram model has no --context", "leave it out: its order is its context"));
    }
    let (model, splitter) = folder::load(path).with_context(|| format!("opening {}", path.display()))?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let talk = Talk { progress: printer, interrupt: &interrupt };
    let evaluation = evaluate(&model, &splitter, &args.text, Mixture::default(), talk)?;
    super::print(&evaluation, args.json, printer)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn generate_folder(path: &Path, args: &Generate, printer: &Printer) -> anyhow::Result<ExitCode> {
    let sampling = &args.sampling;
    if sampling.min_p.is_some() || sampling.repetition_penalty != 1.0 {
        return Err(hinted(
            "an n-gram model has no --min-p and no --repetition-penalty",
            "use --temperature, --top-k and --top-p",
        ));
    }
    let (model, splitter) = folder::load(path).with_context(|| format!("opening {}", path.display()))?;
    let drawing = Drawing {
        max_words: sampling.max_new_tokens,
        temperature: f64::from(sampling.temperature.unwrap_or(1.0)),
        top_k: sampling.top_k,
        top_p: sampling.top_p.map(f64::from),
        seed: sampling.seed,
    };
    let started = Instant::now();
    let (ids, mut text) = go_on(&model, &splitter, &args.prompt, drawing)?;
    if let Some(end) = sampling.stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop)).min() {
        text.truncate(end);
    }
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        printer.json(&json!({
            "prompt": args.prompt, "text": text, "tokens": ids.len(), "seconds": seconds,
            "tokens_per_second": ids.len() as f64 / seconds.max(1e-9),
        }))?;
    } else {
        let between = if args.prompt.is_empty() { "" } else { splitter.separator() };
        printer.data(&without_escapes(&format!("{}{between}{text}", args.prompt)))?;
    }
    Ok(ExitCode::SUCCESS)
}
