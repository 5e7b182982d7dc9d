//! `inkstone ngram train` and `inkstone ngram build`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use inkstone_classic::ngram::arpa::{read_arpa, write_arpa, write_table};
use inkstone_classic::ngram::count::Room;
use inkstone_classic::ngram::model::{Table, write_model};
use inkstone_classic::ngram::{Corpus, Estimate, Smoothing, Talk, Training, Unit, estimate, prune, warn_of_fallbacks};
use inkstone_recipe::Progress;
use serde_json::json;

use crate::cli::ngram::{Build, Form, SmoothingName, Train};
use crate::hint::hinted;
use crate::machine;
use crate::printer::{Printer, bytes, duration, thousands};

pub(super) fn train(args: &Train, printer: &Printer) -> anyhow::Result<()> {
    let started = Instant::now();
    // Temporary files go where the result goes: there is room for that.
    let room = Room { folder: folder_of(&args.out), bytes: args.memory };
    let training = Training {
        order: args.order,
        smoothing: smoothing(args.smoothing, args.k)?,
        prune: args.prune.clone(),
        room: room.clone(),
    };
    training.check()?;
    let splitter = args.words.splitter(None)?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let talk = Talk { progress: printer, interrupt: &interrupt };
    let mut corpus = Corpus::new(room.share(4));
    corpus.add_file(&args.text, &splitter, talk)?;
    corpus.check(&args.text)?;
    let tokens = corpus.sentences.tokens();
    let model = estimate(corpus.sentences, corpus.vocabulary, &training, talk)?;
    warn_of_fallbacks(&model.discounts, &mut |line| printer.warn(line));
    let task = printer.task("writing", None, "n-grams");
    let counts = write(model, splitter.unit(), args)?;
    drop(task);
    report(args, &counts, (tokens, started.elapsed().as_secs_f64()), printer)
}

/// Writes the model; returns how many n-grams of each order it has.
fn write(model: Estimate, unit: Unit, args: &Train) -> anyhow::Result<Vec<u64>> {
    if is_arpa(&args.out) && args.prune_entropy.is_none() {
        let counts = model.counts.clone();
        write_arpa(&args.out, unit, model)?;
        return Ok(counts);
    }
    let table = pruned(Table::of(model)?, args.prune_entropy)?;
    write_built(&args.out, &table, Some(unit), &args.form)?;
    Ok(table.counts())
}

fn report(args: &Train, counts: &[u64], (tokens, seconds): (u64, f64), printer: &Printer) -> anyhow::Result<()> {
    let size = std::fs::metadata(&args.out).map_or(0, |file| file.len());
    let peak = inkstone_recipe::peak_bytes();
    if args.json {
        return printer.json(&json!({
            "out": args.out, "order": args.order, "ngrams": counts, "tokens": tokens, "bytes": size,
            "seconds": seconds, "tokens_per_second": tokens as f64 / seconds.max(1e-9), "peak_bytes": peak,
        }));
    }
    let counts: Vec<String> = counts.iter().map(|&n| thousands(n)).collect();
    printer.talk(&format!("{} words read, n-grams of order 1, 2, …: {}", thousands(tokens), counts.join(", ")));
    printer.talk(&format!("{} ({}) in {}", args.out.display(), bytes(size), duration(seconds)));
    Ok(())
}

pub(super) fn build(args: &Build, printer: &Printer) -> anyhow::Result<()> {
    let started = Instant::now();
    let (table, unit) = read_arpa(&args.model)?;
    let table = pruned(table, args.prune_entropy)?;
    write_built(&args.out, &table, unit, &args.form)?;
    let size = std::fs::metadata(&args.out).map_or(0, |file| file.len());
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        return printer.json(&json!({"out": args.out, "ngrams": table.counts(), "bytes": size, "seconds": seconds}));
    }
    printer.talk(&format!("{} ({}) in {}", args.out.display(), bytes(size), duration(seconds)));
    Ok(())
}

fn write_built(out: &Path, table: &Table, unit: Option<Unit>, form: &Form) -> anyhow::Result<()> {
    if is_arpa(out) {
        return Ok(write_table(out, unit.unwrap_or(Unit::Words), table)?);
    }
    let bits = (form.structure == "trie").then_some(form.bits);
    Ok(write_model(out, table, unit, bits)?)
}

fn pruned(table: Table, threshold: Option<f64>) -> anyhow::Result<Table> {
    match threshold {
        Some(threshold) => prune(&table, threshold).map_err(|error| anyhow::anyhow!("pruning: {error}")),
        None => Ok(table),
    }
}

pub(super) fn smoothing(name: SmoothingName, k: Option<f64>) -> anyhow::Result<Smoothing> {
    let fixed = match name {
        SmoothingName::AddK => return Ok(Smoothing::AddK(k.unwrap_or(0.1))),
        SmoothingName::StupidBackoff => return Ok(Smoothing::StupidBackoff(k.unwrap_or(0.4))),
        SmoothingName::ModifiedKneserNey => Smoothing::ModifiedKneserNey,
        SmoothingName::WittenBell => Smoothing::WittenBell,
        SmoothingName::AbsoluteDiscounting => Smoothing::AbsoluteDiscounting,
        SmoothingName::Katz => Smoothing::Katz,
    };
    match k {
        Some(_) => Err(hinted("this smoothing has no --k", "leave --k out, or choose add-k or stupid-backoff")),
        None => Ok(fixed),
    }
}

fn is_arpa(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "arpa")
}

pub(super) fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}
