//! `inkstone bench decode --draft`: tokens guessed ahead, against plain decoding.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context;
use inkstone_engine::{CachePrecision, Draft, Event, Limits, PromptLookup, Request, Sampling, Scheduler, SmallModel};
use inkstone_models::Model;
use serde_json::json;

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

/// One answer.
struct Run {
    ids: Vec<u32>,
    tokens_per_second: f64,
    drafted: (u64, u64),
}

/// The most likely tokens after `prompt`; the time of the first one is not counted.
fn go_on(
    model: &Model,
    prompt: &[u32],
    tokens: usize,
    (guesses, draft): (usize, Option<Box<dyn Draft>>),
) -> anyhow::Result<Run> {
    let limits = Limits {
        cache_bytes: 1 << 30,
        cache_precision: CachePrecision::F32,
        running: 1,
        waiting: 1,
        pass_tokens: PROMPT,
        draft_tokens: guesses,
    };
    let heard = Arc::new(Mutex::new((Vec::new(), None)));
    let ear = Arc::clone(&heard);
    let sampling = Sampling { max_new_tokens: tokens, ..Sampling::greedy() };
    let request = Request::new(prompt.to_vec(), sampling, move |event| {
        if let Event::Token(token) = event {
            let mut heard = ear.lock().unwrap_or_else(PoisonError::into_inner);
            heard.0.push(token.id);
            heard.1.get_or_insert_with(Instant::now);
        }
        ControlFlow::Continue(())
    });
    let mut scheduler = Scheduler::new(model, limits)?;
    scheduler.submit(Request { draft, ..request })?;
    while !scheduler.is_idle() {
        scheduler.step();
    }
    let (ids, first) = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    let seconds = first.map_or(f64::NAN, |first: Instant| first.elapsed().as_secs_f64());
    let tokens_per_second = (ids.len().max(1) - 1) as f64 / seconds.max(1e-9);
    Ok(Run { ids, tokens_per_second, drafted: scheduler.load().drafted_tokens })
}

fn median(runs: &[Run]) -> f64 {
    let mut rates: Vec<f64> = runs.iter().map(|run| run.tokens_per_second).collect();
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
