//! `inkstone bench decode` and `inkstone bench prefill`.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

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
    decode_rate(&model, 1);
    let first_token_seconds = started.elapsed().as_secs_f64();
    let tokens = args.tokens.unwrap_or(if what == What::Decode { 128 } else { 512 }).clamp(1, model.context());
    let rates = rates(&model, what, (tokens, args.turns), printer);
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
fn rates(model: &Model, what: What, (tokens, turns): (usize, usize), printer: &Printer) -> Vec<f64> {
    if turns == 0 {
        return Vec::new();
    }
    let rate = if what == What::Decode { decode_rate } else { prefill_rate };
    rate(model, tokens.min(8));
    let task = printer.task("turns", Some(turns as u64), "turns");
    let mut rates = Vec::new();
    for turn in 0..turns {
        rates.push(rate(model, tokens));
        task.set(turn as u64 + 1);
    }
    rates.sort_by(f64::total_cmp);
    rates
}

/// Tokens per second, one after the other from an empty cache on.
pub(crate) fn decode_rate(model: &Model, tokens: usize) -> f64 {
    let mut cache = model.cache(tokens);
    let (started, mut id) = (Instant::now(), 1);
    for _ in 0..tokens {
        // Inside the pool, so that no pass waits for its threads to wake up.
        let logits = rayon::scope(|_| model.last_logits(&[id], &mut cache));
        id = (0..logits.len()).fold(0, |top, n| if logits[n] > logits[top] { n } else { top }) as u32;
    }
    tokens as f64 / started.elapsed().as_secs_f64().max(1e-9)
}

/// Tokens per second of a prompt.
fn prefill_rate(model: &Model, tokens: usize) -> f64 {
    let ids: Vec<u32> = (0..tokens).map(|n| (n * 7919 % model.vocab_size()) as u32).collect();
    let mut cache = model.cache(tokens);
    let started = Instant::now();
    std::hint::black_box(rayon::scope(|_| model.last_logits(&ids, &mut cache)));
    tokens as f64 / started.elapsed().as_secs_f64().max(1e-9)
}
