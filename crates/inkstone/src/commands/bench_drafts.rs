//! `inkstone bench decode --draft`: tokens guessed ahead, against plain decoding.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use inkstone_engine::{Draft, PromptLookup, SmallModel};
use serde_json::json;

use super::bench_model::{Run, go_on};
use crate::cli::Adapters;
use crate::cli::compress::BenchModel;
use crate::hint::hinted;
use crate::model;
use crate::printer::Printer;

/// Largest text that is read.
const MAX_TEXT: u64 = 1 << 26;
/// Tokens of it that are gone on from.
const PROMPT: usize = 256;

pub(crate) fn bench(args: &BenchModel, draft: &str, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    let speaker = model::load(&args.model, &Adapters::default(), runs)?;
    let path = args.text.as_ref().ok_or_else(|| hinted("no text to go on from", "name one: --text FILE"))?;
    let text = inkstone_recipe::fs::read_to_string(path, MAX_TEXT);
    let ids = speaker.tokenizer.encode(&text.with_context(|| format!("reading {}", path.display()))?)?;
    let tokens = args.tokens.unwrap_or(128).max(2);
    let room = speaker.model.context().saturating_sub(tokens + 1);
    let prompt = &ids[..ids.len().min(PROMPT).min(room)];
    let small = (draft != "lookup").then(|| model::load_draft(draft, &speaker.model, runs)).transpose()?;
    let guesser = || match &small {
        Some(model) => Box::new(SmallModel::new(Arc::clone(model))) as Box<dyn Draft>,
        None => Box::new(PromptLookup),
    };
    let (mut plain, mut guessed) = (Vec::new(), Vec::new());
    for _ in 0..args.turns.max(1) {
        plain.push(go_on(&speaker.model, prompt, tokens, (args.guesses, None))?);
        guessed.push(go_on(&speaker.model, prompt, tokens, (args.guesses, Some(guesser())))?);
    }
    let identical = plain.iter().chain(&guessed).all(|run| run.ids == plain[0].ids);
    let [plain, with] = [&plain, &guessed].map(|runs| median(runs));
    let (drafted, came_true) = guessed[0].drafted;
    let acceptance = came_true as f64 / drafted.max(1) as f64;
    let code = if identical { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if args.json {
        printer.json(&json!({
            "tokens_per_second": with, "tokens_per_second_plain": plain, "speed_up": with / plain, "acceptance": acceptance,
            "drafted": drafted, "accepted": came_true, "tokens": guessed[0].ids.len(), "identical": identical,
        }))?;
        return Ok(code);
    }
    printer.data(&format!("{with:.1} tokens/s, {plain:.1} without guesses: {:.2} times", with / plain))?;
    printer.data(&format!("{came_true} of {drafted} guesses came true ({:.0} %)", acceptance * 100.0))?;
    printer.data(if identical { "the same tokens" } else { "OTHER TOKENS: this must not be" })?;
    Ok(code)
}

fn median(runs: &[Run]) -> f64 {
    let mut rates: Vec<f64> = runs.iter().map(Run::decode_rate).collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
