//! `inkstone eval`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use inkstone_classic::neural::AnyModel;
use inkstone_eval::{TextLoss, text_ids, text_loss};
use inkstone_recipe::{Interrupt, Progress};

use crate::cli::Eval;
use crate::hint::hinted;
use crate::machine;
use crate::model::{self, Speaker};
use crate::printer::{Printer, thousands};

/// Largest text that is read.
const MAX_BYTES: u64 = 4 << 30;

pub(crate) fn eval(args: &Eval, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if let Some(folder) = model::ngram_folder(&args.model, runs) {
        return super::ngram::eval_folder(&folder, args, printer);
    }
    let text = inkstone_recipe::fs::read_to_string(&args.text, MAX_BYTES)
        .with_context(|| format!("reading {}", args.text.display()))?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let bar = printer.task("evaluating", Some(100), "%");
    let mut progress = |done: u64, total: u64| bar.set(done * 100 / total.max(1));
    let loss = if let Some(speaker) = model::classic(&args.model, runs)? {
        classic(&speaker, &text, args, (&interrupt, &mut progress))?
    } else {
        if args.dynamic.is_some() {
            return Err(hinted("only a feed-forward or recurrent model has --dynamic", "leave it out"));
        }
        let speaker = model::load(&args.model, &args.adapters, runs)?;
        let context = args.context.unwrap_or_else(|| speaker.model.context());
        text_loss(&speaker.model, &speaker.tokenizer, &text, context, (&interrupt, &mut progress))
            .with_context(|| format!("evaluating on {}", args.text.display()))?
    };
    drop(bar);
    if args.json {
        printer.json(&loss)?;
    } else {
        printer.data(&format!("loss           {:.4} nats per token", loss.loss))?;
        printer.data(&format!("perplexity     {:.2}", loss.perplexity))?;
        printer.data(&format!("bits per byte  {:.4}", loss.bits_per_byte))?;
        printer.data(&format!("tokens         {} ({} bytes)", thousands(loss.tokens), thousands(loss.bytes)))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A feed-forward or recurrent model reads the whole text from one end to the other.
fn classic(
    speaker: &Speaker<AnyModel>,
    text: &str,
    args: &Eval,
    (interrupt, progress): (&Interrupt, &mut dyn FnMut(u64, u64)),
) -> anyhow::Result<TextLoss> {
    if args.context.is_some() {
        return Err(hinted(
            "this model has no --context",
            "leave it out: what it remembers was fixed when it was made",
        ));
    }
    let ids = text_ids(&speaker.tokenizer, text)?;
    let total = ids.len() as u64 - 1;
    let losses = speaker.model.stream_losses(&ids, args.dynamic, &mut |done| {
        progress(done, total);
        !interrupt.requested()
    })?;
    Ok(TextLoss::of(losses.iter().map(|&loss| f64::from(loss)).sum(), total, text))
}
