//! `inkstone eval`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use inkstone_eval::text_loss;
use inkstone_recipe::Progress;

use crate::cli::Eval;
use crate::printer::{Printer, thousands};
use crate::{machine, model};

/// Largest text that is read.
const MAX_BYTES: u64 = 4 << 30;

pub(crate) fn eval(args: &Eval, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if let Some(folder) = model::ngram_folder(&args.model, runs) {
        return super::ngram::eval_folder(&folder, args, printer);
    }
    let text = inkstone_recipe::fs::read_to_string(&args.text, MAX_BYTES)
        .with_context(|| format!("reading {}", args.text.display()))?;
    let speaker = model::load(&args.model, runs)?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let context = args.context.unwrap_or_else(|| speaker.model.context());
    let bar = printer.task("evaluating", Some(100), "%");
    let loss = text_loss(
        &speaker.model,
        &speaker.tokenizer,
        &text,
        context,
        (&interrupt, &mut |done, total| bar.set(done * 100 / total.max(1))),
    )
    .with_context(|| format!("evaluating on {}", args.text.display()))?;
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
