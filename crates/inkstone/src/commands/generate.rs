//! `inkstone generate`.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use inkstone_engine::{Beams, beam_search};
use inkstone_models::{Dictionary, Kind};
use serde_json::{Value, json};

use crate::cli::Generate;
use crate::hint::hinted;
use crate::model::{self, GoesOn, Speaker};
use crate::printer::Printer;

pub(crate) fn generate(args: &Generate, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    if let Some(folder) = model::ngram_folder(&args.model, runs) {
        return super::ngram::generate_folder(&folder, args, printer);
    }
    match model::classic(&args.model, runs)? {
        Some(_) if args.beams.is_some() => Err(hinted("beams need a transformer", "leave --beams out")),
        Some(speaker) => go_on(&speaker, args, printer),
        None => {
            let speaker = model::load(&args.model, &args.adapters, runs)?;
            if let Some(text) = &args.dictionary {
                return fill(&speaker, text, args, printer);
            }
            match args.beams {
                Some(beams) => search(&speaker, usize::from(beams), args, printer),
                None => go_on(&speaker, args, printer),
            }
        }
    }
}

/// A dictionary with what the model says below `<ans>`.
fn fill(speaker: &Speaker, text: &str, args: &Generate, printer: &Printer) -> anyhow::Result<ExitCode> {
    if !speaker.model.reads_dictionaries() {
        return Err(hinted(format!("{} reads no dictionaries", args.model), "give `--prompt`, or a `cpmbee`"));
    }
    let mut value: Value = serde_json::from_str(text).context("reading --dictionary")?;
    let marks = inkstone_train::dictionary_marks(&speaker.tokenizer)?;
    let dictionary = Dictionary::read(&value, marks, &mut |text| anyhow::Ok(speaker.tokenizer.encode(text)?))?;
    let (context, tokens) = (speaker.model.context(), dictionary.ids.len());
    anyhow::ensure!(tokens < context, "the dictionary has {tokens} tokens, the model's context is {context}");
    let said = dictionary.fill(&speaker.model, args.sampling.max_new_tokens);
    for (blank, ids) in dictionary.blanks.iter().zip(said) {
        let place = blank.path.iter().try_fold(&mut value, |value, key| value.get_mut(key));
        *place.context("a blank is a place of the dictionary")? = speaker.tokenizer.decode(&ids)?.into();
    }
    printer.json(&value)?;
    Ok(ExitCode::SUCCESS)
}

/// The likeliest answers.
fn search(speaker: &Speaker, beams: usize, args: &Generate, printer: &Printer) -> anyhow::Result<ExitCode> {
    let mut prompt = speaker.tokenizer.encode(&args.prompt)?;
    if speaker.model.kind() == Kind::EncoderDecoder {
        prompt.extend(speaker.tokenizer.eos());
    } else if prompt.is_empty() {
        prompt.extend(speaker.tokenizer.bos());
    }
    let how = Beams {
        beams,
        max_new_tokens: args.sampling.max_new_tokens,
        length_penalty: args.length_penalty,
        stop_ids: speaker.defaults().stop_ids,
    };
    let found = beam_search(&speaker.model, &prompt, &how)?;
    let texts: Vec<String> = found.iter().map(|one| speaker.tokenizer.decode(&one.tokens)).collect::<Result<_, _>>()?;
    if args.json {
        let answers = found.iter().zip(&texts);
        let answers = answers.map(|(one, text)| json!({ "text": text, "ids": one.tokens, "score": one.score }));
        printer.json(&json!({ "prompt": args.prompt, "answers": answers.collect::<Vec<_>>() }))?;
    } else if let Some(best) = texts.first() {
        let begin = if speaker.model.kind() == Kind::EncoderDecoder { "" } else { &args.prompt };
        printer.data(&without_escapes(&format!("{begin}{best}")))?;
    }
    Ok(ExitCode::SUCCESS)
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
