//! `inkstone word2vec`: train, neighbours, analogies, similarity, plot.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use inkstone_classic::word2vec as w2v;
use inkstone_eval::interval::wilson;
use inkstone_recipe::{Progress, Store};
use serde_json::json;

use crate::cli::word2vec::{Analogies, Neighbours, Plot, Similarity, TrainVectors, Word2Vec, Word2VecCommand};
use crate::hint::hinted;
use crate::machine;
use crate::printer::{Printer, duration, thousands};

pub(crate) fn word2vec(args: &Word2Vec, runs: &Path, printer: &Printer) -> anyhow::Result<ExitCode> {
    match &args.what {
        Word2VecCommand::Train(args) => train(args, printer)?,
        Word2VecCommand::Neighbours(args) => neighbours(args, runs, printer)?,
        Word2VecCommand::Analogies(args) => analogies(args, runs, printer)?,
        Word2VecCommand::Similarity(args) => similarity(args, runs, printer)?,
        Word2VecCommand::Plot(args) => plot(args, runs, printer)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn train(args: &TrainVectors, printer: &Printer) -> anyhow::Result<()> {
    let started = Instant::now();
    let config = config(args);
    config.check()?;
    let interrupt = machine::stop_on_ctrl_c()?;
    let (vocabulary, sentences) = read(args, printer)?;
    let words = sentences.words() as u64;
    let bar = printer.task("learning vectors", Some(words * config.epochs), "words");
    let lesson =
        w2v::Lesson { vocabulary: &vocabulary, sentences: &sentences, config: &config, seed: args.seed, state: None };
    let vectors = w2v::train(&lesson, &mut |event| {
        if let w2v::Event::Read(read) = event {
            bar.set(read);
        }
        !interrupt.requested()
    })?;
    drop(bar);
    let format = if args.format == "text" { w2v::Format::Text } else { w2v::Format::Binary };
    w2v::write_vectors(&args.out, &vectors, format)?;
    let seconds = started.elapsed().as_secs_f64();
    if args.json {
        let rate = (words * config.epochs) as f64 / seconds;
        return printer.json(&json!({
            "words": vocabulary.len(), "size": config.size, "tokens": words, "epochs": config.epochs,
            "seconds": seconds, "tokens_per_second": rate,
        }));
    }
    let (vocabulary, words) = (thousands(vocabulary.len() as u64), thousands(words));
    printer.talk(&format!("{vocabulary} vectors from {words} words in {}: {}", duration(seconds), args.out.display()));
    Ok(())
}

fn config(args: &TrainVectors) -> w2v::Word2VecConfig {
    let architecture = if args.cbow { w2v::Architecture::Cbow } else { w2v::Architecture::SkipGram };
    let negatives = w2v::Objective::Negatives(args.negatives);
    w2v::Word2VecConfig {
        architecture,
        objective: if args.hierarchical_softmax { w2v::Objective::HierarchicalSoftmax } else { negatives },
        size: args.size,
        window: args.window,
        min_count: args.min_count,
        sample: args.sample,
        epochs: args.epochs,
        learning_rate: args.learning_rate.unwrap_or_else(|| architecture.usual_rate()),
    }
}

/// The text, with its phrases joined where that is asked for.
fn read(args: &TrainVectors, printer: &Printer) -> anyhow::Result<(w2v::Vocabulary, w2v::Sentences)> {
    let bytes = std::fs::metadata(&args.text).map(|metadata| metadata.len()).ok();
    let bar = printer.task("counting words", bytes, "B");
    let words = if args.han_apart { w2v::Words::HanApart } else { w2v::Words::Spaced };
    let reader = w2v::read_sentences(&args.text, words, &mut |read| bar.set(read))?;
    let least = |pass: usize| if pass == args.phrases { args.min_count } else { 1 };
    let (mut vocabulary, mut sentences) = reader.finish(least(0))?;
    let settings = w2v::PhraseSettings { min_count: args.min_count, threshold: args.phrase_threshold };
    for pass in 1..=args.phrases {
        (vocabulary, sentences) = w2v::join_phrases((&vocabulary, &sentences), settings, least(pass))?;
    }
    Ok((vocabulary, sentences))
}

/// Vectors by the path of a file, or by an artifact that has them.
fn load(reference: &str, runs: &Path) -> anyhow::Result<w2v::Vectors> {
    let path = find(reference, runs)?;
    w2v::read_vectors(&path).with_context(|| format!("reading the vectors {}", path.display()))
}

fn find(reference: &str, runs: &Path) -> anyhow::Result<PathBuf> {
    let path = Path::new(reference);
    if path.is_file() {
        return Ok(path.to_owned());
    }
    let store = || runs.is_dir().then(|| Store::open(runs)).transpose();
    let folder = if path.is_dir() {
        Some(path.to_owned())
    } else {
        store()?.and_then(|s| s.find(reference).ok()).map(|a| a.folder)
    };
    folder.map(|folder| folder.join(w2v::VECTORS_FILE)).filter(|path| path.is_file()).ok_or_else(|| {
        hinted(
            format!("there are no vectors {reference}"),
            "give a file in the format of word2vec, or an artifact of a `word2vec` stage; `inkstone word2vec train` makes vectors",
        )
    })
}

fn neighbours(args: &Neighbours, runs: &Path, printer: &Printer) -> anyhow::Result<()> {
    let space = w2v::Space::new(load(&args.model, runs)?);
    let mut terms = Vec::new();
    for (sign, words) in [(1.0, &args.words), (-1.0, &args.minus)] {
        for word in words {
            terms.push((sign, space.find(word)?));
        }
    }
    let asked: Vec<u32> = terms.iter().map(|&(_, id)| id).collect();
    let nearest = space.nearest(&space.direction(&terms), &asked, args.number);
    if args.json {
        return printer.json(&nearest);
    }
    for neighbour in nearest {
        printer.data(&format!("{:.4}  {}", neighbour.similarity, neighbour.word))?;
    }
    Ok(())
}

fn analogies(args: &Analogies, runs: &Path, printer: &Printer) -> anyhow::Result<()> {
    let vectors = load(&args.model, runs)?;
    let kept = if args.most_frequent == 0 { vectors } else { vectors.truncated(args.most_frequent) };
    let bytes = std::fs::metadata(&args.questions).map(|metadata| metadata.len()).ok();
    let bar = printer.task("answering", bytes, "B");
    let sections = w2v::analogies(&w2v::Space::new(kept), &args.questions, &mut |read| bar.set(read))?;
    drop(bar);
    let sum = |pick: fn(&w2v::Section) -> u64| sections.iter().map(pick).sum::<u64>();
    let (right, asked, unknown) = (sum(|s| s.right), sum(|s| s.asked), sum(|s| s.unknown));
    let share = wilson(right, asked);
    if args.json {
        return printer.json(&json!({
            "accuracy": share.value, "accuracy_low": share.low, "accuracy_high": share.high,
            "right": right, "asked": asked, "unknown": unknown, "sections": sections,
        }));
    }
    let percent = |share: f64| format!("{:5.1} %", share * 100.0);
    for section in &sections {
        let value = percent(wilson(section.right, section.asked).value);
        printer.data(&format!("{value}  {:>5} of {:>5}  {}", section.right, section.asked, section.name))?;
    }
    let interval = format!("{} to {}", percent(share.low).trim(), percent(share.high).trim());
    printer.data(&format!("{}  {right:>5} of {asked:>5}  all ({interval})", percent(share.value)))?;
    printer.talk(&format!("{} questions have a word without a vector", thousands(unknown)));
    Ok(())
}

fn similarity(args: &Similarity, runs: &Path, printer: &Printer) -> anyhow::Result<()> {
    let agreement = w2v::similarity(&w2v::Space::new(load(&args.model, runs)?), &args.pairs)?;
    if args.json {
        return printer.json(&agreement);
    }
    let w2v::Agreement { spearman, spearman_low, spearman_high, pairs, unknown } = agreement;
    printer.data(&format!("Spearman {spearman:.4} ({spearman_low:.4} to {spearman_high:.4}), {pairs} pairs"))?;
    printer.talk(&format!("{unknown} pairs have a word without a vector"));
    Ok(())
}

fn plot(args: &Plot, runs: &Path, printer: &Printer) -> anyhow::Result<()> {
    let projection = if args.pca { w2v::Projection::Pca } else { w2v::Projection::Tsne };
    let vectors = load(&args.model, runs)?.truncated(args.words.into());
    let page = w2v::draw_map(&w2v::Space::new(vectors), w2v::MapSettings { words: args.words.into(), projection });
    inkstone_recipe::fs::write_atomic(&args.out, page.as_bytes())?;
    printer.talk(&format!("drawn: {}", args.out.display()));
    Ok(())
}
