//! `inkstone merge`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::cli::Merge;
use crate::hint::hinted;
use crate::model;
use crate::printer::Printer;

/// Files of the base model that go along with the weights.
const COMPANIONS: [&str; 4] =
    ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"];

pub(crate) fn merge(args: &Merge, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if args.adapters.adapters.is_empty() {
        return Err(hinted("there is nothing to merge", "give --adapter DIR"));
    }
    if args.out.join("config.json").exists() {
        return Err(hinted(format!("{} holds a model already", args.out.display()), "give -o another folder"));
    }
    let base = model::folder(&args.model, runs)?;
    let merged = model::adapted(&base, &args.adapters)?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("making {}", args.out.display()))?;
    merged.save(&args.out).with_context(|| format!("writing {}", args.out.display()))?;
    for name in COMPANIONS.into_iter().filter(|name| base.join(name).exists()) {
        std::fs::copy(base.join(name), args.out.join(name)).with_context(|| format!("copying {name}"))?;
    }
    printer.data(&args.out.display().to_string())?;
    Ok(ExitCode::SUCCESS)
}
