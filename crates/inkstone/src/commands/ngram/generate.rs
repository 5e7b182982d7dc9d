//! `inkstone ngram generate`.

use std::ops::ControlFlow;
use std::time::Instant;

use inkstone_classic::ngram::{Drawing, Model, Splitter, WordId, generate as generate_words};
use serde_json::json;

use super::open;
use crate::cli::ngram::GenerateNgram;
use crate::commands::generate::without_escapes;
use crate::printer::Printer;

pub(super) fn generate(args: &GenerateNgram, printer: &Printer) -> anyhow::Result<()> {
    let (model, splitter) = open(&args.model, &args.words)?;
    for n in 0..args.sentences {
        let started = Instant::now();
        let drawing = Drawing {
            max_words: args.max_words,
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
            seed: args.seed.wrapping_add(n),
        };
        let (ids, text) = go_on(&model, &splitter, &args.prompt, drawing)?;
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
    }
    Ok(())
}

/// The words that follow a prompt, and their text.
pub(in crate::commands) fn go_on(
    model: &Model,
    splitter: &Splitter,
    prompt: &str,
    drawing: Drawing,
) -> anyhow::Result<(Vec<WordId>, String)> {
    let (mut ids, mut words) = (Vec::new(), Vec::new());
    generate_words(model, splitter, prompt, drawing, |id, word| {
        ids.push(id);
        words.push(word.to_owned());
        ControlFlow::Continue(())
    })?;
    Ok((ids, splitter.join(&words)?))
}
