//! `inkstone generate`.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::json;

use crate::cli::Generate;
use crate::model::{self, GoesOn, Speaker};
use crate::printer::Printer;

pub(crate) fn generate(args: &Generate, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if let Some(folder) = model::ngram_folder(&args.model, runs) {
        return super::ngram::generate_folder(&folder, args, printer);
    }
    match model::classic(&args.model, runs)? {
        Some(speaker) => go_on(&speaker, args, printer),
        None => go_on(&model::load(&args.model, &args.adapters, runs)?, args, printer),
    }
}

fn go_on<M: GoesOn>(speaker: &Speaker<M>, args: &Generate, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut prompt = speaker.tokenizer.encode(&args.prompt)?;
    if prompt.is_empty() {
        prompt.extend(speaker.tokenizer.bos());
    }
    let sampling = speaker.sampling(&args.sampling);
    let started = Instant::now();
    let mut show = |piece: &str| {
        if args.json { ControlFlow::Continue(()) } else { write_now(piece) }
    };
    if !args.json {
        let _ = show(&args.prompt);
    }
    let spoken = speaker.speak(&prompt, &sampling, &args.sampling.stop, &mut show)?;
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        printer.json(&json!({
            "prompt": args.prompt, "text": spoken.text, "prompt_tokens": prompt, "ids": spoken.tokens, "tokens": spoken.tokens.len(),
            "seconds": seconds, "tokens_per_second": spoken.tokens.len() as f64 / seconds.max(1e-9),
        }))?;
    } else {
        printer.data("")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a piece of text at once; breaks when nobody reads it any more.
pub(crate) fn write_now(piece: &str) -> ControlFlow<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(without_escapes(piece).as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ControlFlow::Continue(()),
        Err(_) => ControlFlow::Break(()),
    }
}

/// Text whose control characters a terminal would obey, made visible instead.
pub(crate) fn without_escapes(text: &str) -> String {
    let plain = |c: char| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}
