//! `inkstone bench decode` and `inkstone bench prefill`.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use inkstone_engine::{CachePrecision, Draft, Event, Limits, Request, Sampling, Scheduler};
use inkstone_kernels::isa;
use inkstone_models::{Kind, Model};
use inkstone_recipe::{Progress as _, peak_bytes};
use serde_json::json;

use crate::cli::compress::BenchModel;
use crate::hint::hinted;
use crate::printer::Printer;
use crate::{machine, model};

/// What is measured: tokens one after the other, or all at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Decode,
    Prefill,
}

pub(crate) fn bench(what: What, args: &BenchModel, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if let (Some(draft), What::Decode) = (&args.draft, what) {
        return super::bench_drafts::bench(args, draft, runs, printer);
    }
    let started = Instant::now();
    let (model, bytes) = model::load_weights(&args.model, runs)?;
    let load_seconds = started.elapsed().as_secs_f64();
    if model.kind() != Kind::Decoder {
        return Err(hinted("only a decoder goes on from a text", "give a model such as llama or gpt2"));
    }
    decode_rate(&model, 0)?;
    let first_token_seconds = started.elapsed().as_secs_f64();
    let tokens = args
        .tokens
        .unwrap_or(if what == What::Decode { 128 } else { 512 })
        .clamp(1, model.context().saturating_sub(2).max(1));
    let rates = rates(&model, what, (tokens, args.turns), printer)?;
    let (median, best) = (rates.get(rates.len() / 2).copied(), rates.last().copied());
    let read = if rates.is_empty() { None } else { Some(isa::measure().bytes_per_second) };
    let used = median.filter(|_| what == What::Decode).map(|rate| rate * bytes as f64);
    let report = json!({
        "tokens_per_second": median, "tokens_per_second_best": best, "tokens": tokens, "bytes": bytes,
        "bytes_per_second": used, "read_bytes_per_second": read, "load_seconds": load_seconds,
        "first_token_seconds": first_token_seconds, "peak_bytes": peak_bytes(), "numeric_path": isa::numeric_path(),
        "threads": rayon::current_num_threads(), "cpu": machine::cpu_name(),
    });
    if args.json {
        printer.json(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    printer.data(&format!("loaded in {load_seconds:.2} s, the first token after {first_token_seconds:.2} s"))?;
    if let (Some(median), Some(best)) = (median, best) {
        printer.data(&format!("{median:.1} tokens/s (best {best:.1}), {tokens} tokens"))?;
    }
    if let (Some(used), Some(read)) = (used, read) {
        printer.data(&format!("{:.1} GB/s of weights, memory reads at {:.1} GB/s", used / 1e9, read / 1e9))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Tokens per second of each turn, slowest first.
fn rates(model: &Model, what: What, (tokens, turns): (usize, usize), printer: &Printer) -> anyhow::Result<Vec<f64>> {
    if turns == 0 {
        return Ok(Vec::new());
    }
    let rate = if what == What::Decode { decode_rate } else { prefill_rate };
    rate(model, tokens.min(8))?;
    let task = printer.task("turns", Some(turns as u64), "turns");
    let mut rates = Vec::new();
    for turn in 0..turns {
        rates.push(rate(model, tokens)?);
        task.set(turn as u64 + 1);
    }
    rates.sort_by(f64::total_cmp);
    Ok(rates)
}

/// Tokens per second, one after the other from the shortest prompt on.
pub(crate) fn decode_rate(model: &Model, tokens: usize) -> anyhow::Result<f64> {
    Ok(go_on(model, &[1], tokens + 1, (0, None))?.decode_rate())
}

/// Tokens per second of a prompt.
fn prefill_rate(model: &Model, tokens: usize) -> anyhow::Result<f64> {
    let ids: Vec<u32> = (0..tokens).map(|n| (n * 7919 % model.vocab_size()) as u32).collect();
    Ok(tokens as f64 / go_on(model, &ids, 1, (0, None))?.first_seconds.max(1e-9))
}

/// An answer of the engine.
pub(crate) struct Run {
    pub(crate) ids: Vec<u32>,
    /// To the first token.
    first_seconds: f64,
    /// From the first token to the last.
    seconds: f64,
    /// Tokens that were guessed, and those that came true.
    pub(crate) drafted: (u64, u64),
}

impl Run {
    /// Tokens per second after the first one.
    pub(crate) fn decode_rate(&self) -> f64 {
        (self.ids.len().max(1) - 1) as f64 / self.seconds.max(1e-9)
    }
}

/// The most likely tokens after `prompt`, as a server computes them that has nothing else to do.
pub(crate) fn go_on(
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
        pass_tokens: 512,
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
    let started = Instant::now();
    let mut scheduler = Scheduler::new(model, limits)?;
    scheduler.submit(Request { draft, ..request })?;
    while !scheduler.is_idle() {
        scheduler.step();
    }
    let (ids, first) = std::mem::take(&mut *heard.lock().unwrap_or_else(PoisonError::into_inner));
    let first: Instant = first.context("the model said nothing")?;
    let (first_seconds, seconds) = ((first - started).as_secs_f64(), first.elapsed().as_secs_f64());
    Ok(Run { ids, first_seconds, seconds, drafted: scheduler.load().drafted_tokens })
}
