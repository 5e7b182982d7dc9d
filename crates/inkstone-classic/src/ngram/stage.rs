//! The `ngram` stage: a back-off model of a corpus, evaluated on its held-out part.

use std::collections::BTreeMap;

use inkstone_corpus::{Split, read_documents};
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::count::Room;
use super::estimate::{LONGEST, Training, estimate};
use super::model::Table;
use super::smoothing::{Discounts, Smoothing};
use super::talk::Talk;
use super::text::Corpus;
use super::unit::{Splitter, Unit};
use super::{evaluate_documents, folder, prune};
use crate::error::{ClassicError, Result};

/// The `ngram` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NgramConfig {
    /// The stage whose documents are learnt from.
    pub corpus: String,
    /// The stage whose tokenizer cuts them, where `unit` is `tokens`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// What a word is: `tokens`, `characters` or `words`. Default: `tokens` with a tokenizer, else `words`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Words of the longest n-grams. Default 5.
    #[serde(default = "default_order")]
    pub order: usize,
    /// `modified-kneser-ney` (default), `witten-bell`, `absolute-discounting`, `katz`, `{ add-k = 0.1 }` or
    /// `{ stupid-backoff = 0.4 }`.
    #[serde(default = "default_smoothing")]
    pub smoothing: Smoothing,
    /// By the order, from 1 on: n-grams that occur so often or less are left out. Default: none.
    #[serde(default)]
    pub prune: Vec<u64>,
    /// Leave out n-grams without which the perplexity grows by less than this share, e.g. 1e-8. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prune_entropy: Option<f64>,
    /// Bits of a logarithm in the file, 2 to 25, or 32 for all of it. Default 32.
    #[serde(default = "default_bits")]
    pub bits: u32,
    /// Megabytes that counting may take before it goes on on disk. Default 256.
    #[serde(default = "default_memory")]
    pub memory_mb: usize,
}

fn default_order() -> usize {
    5
}

fn default_smoothing() -> Smoothing {
    Smoothing::ModifiedKneserNey
}

fn default_bits() -> u32 {
    32
}

fn default_memory() -> usize {
    256
}

impl NgramConfig {
    fn unit(&self) -> Unit {
        self.unit.unwrap_or(if self.tokenizer.is_some() { Unit::Tokens } else { Unit::Words })
    }

    fn training(&self, room: Room) -> Training {
        Training { order: self.order, smoothing: self.smoothing, prune: self.prune.clone(), room }
    }
}

/// The `ngram` stage.
#[derive(Debug, Clone, Copy)]
pub struct NgramStage;

impl Stage for NgramStage {
    type Config = NgramConfig;
    const KIND: &'static str = "ngram";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "counts n-grams and smooths them into a language model";

    fn validate(config: &NgramConfig) -> Result<(), String> {
        if (config.unit() == Unit::Tokens) != config.tokenizer.is_some() {
            return Err("`tokenizer` belongs to `unit = \"tokens\"`: give both or neither".into());
        }
        if !(2..=25).contains(&config.bits) && config.bits != 32 {
            return Err(format!("`bits` is {}, it must be 2 to 25, or 32", config.bits));
        }
        if !(1..=LONGEST).contains(&config.order) {
            return Err(format!("`order` is {}, it must be 1 to {LONGEST}", config.order));
        }
        let room = Room { folder: std::path::PathBuf::new(), bytes: 0 };
        config.training(room).check().map_err(|error| error.to_string())
    }

    fn inputs(config: &NgramConfig) -> Vec<Input> {
        let mut inputs = vec![Input { field: "corpus", stage: config.corpus.clone(), kinds: &["corpus"] }];
        inputs.extend(config.tokenizer.as_ref().map(|stage| Input {
            field: "tokenizer",
            stage: stage.clone(),
            kinds: inkstone_tokenizer::stages::TOKENIZERS,
        }));
        inputs
    }

    fn estimate(config: &NgramConfig, inputs: &BTreeMap<String, Forecast>, _machine: &Machine) -> Estimate {
        let bytes = inputs.get("corpus").and_then(|corpus| corpus.metrics.get("train_bytes")).copied().unwrap_or(1e6);
        let tokens = bytes / 4.0;
        let ngrams = tokens * config.order as f64 * 0.6;
        Estimate {
            tokens: Some(tokens as u64),
            seconds: Some(tokens * (1e-6 + 0.4e-6 * config.order as f64)),
            peak_bytes: Some((50e6 + ngrams * (60.0 + 4.0 * config.order as f64)) as u64),
            bytes: Some((ngrams * (2.0 * f64::from(config.bits) + 20.0) / 8.0) as u64),
            ..Estimate::default()
        }
    }

    fn run(config: &NgramConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        run(config, context).map_err(StageError::from)
    }
}

fn run(config: &NgramConfig, context: &Context<'_>) -> Result<Metrics> {
    let tokenizer = config.tokenizer.as_ref().map(|_| Tokenizer::load(&context.input("tokenizer").folder));
    let splitter = Splitter::new(config.unit(), tokenizer.transpose()?)?;
    let room = Room { folder: context.state().to_owned(), bytes: config.memory_mb << 20 };
    let corpus = read_corpus(context, &splitter, &room)?;
    let talk = Talk { progress: context.progress, interrupt: context.interrupt };
    let tokens = corpus.sentences.tokens();
    let estimate = estimate(corpus.sentences, corpus.vocabulary, &config.training(room), talk)?;
    warn_of_fallbacks(&estimate.discounts, &mut |line| context.progress.warn(line));
    let discounts = estimate.discounts.clone();
    let mut table = Table::of(estimate)?;
    if let Some(threshold) = config.prune_entropy {
        table = prune(&table, threshold).map_err(|got| ClassicError::Setting {
            field: "prune_entropy",
            got,
            expected: "one that leaves each n-gram once".into(),
        })?;
    }
    folder::save(context.out(), &table, &splitter, config.bits)?;
    let about =
        json!({"discounts": discounts.iter().map(|d| &d.amount[1..]).collect::<Vec<_>>(), "ngrams": table.counts()});
    let path = context.out().join("ngram.json");
    inkstone_recipe::fs::write_atomic(&path, format!("{about:#}\n").as_bytes())?;
    metrics(context, &table.counts(), tokens)
}

fn read_corpus(context: &Context<'_>, splitter: &Splitter, room: &Room) -> Result<Corpus> {
    let artifact = context.input("corpus");
    let mut corpus = Corpus::new(room.share(4));
    let total = artifact.manifest.metrics.get("train_bytes").and_then(serde_json::Value::as_u64);
    let task = context.progress.task("reading", total, "B");
    let mut done = 0;
    for document in read_documents(&artifact.folder, Split::Train)? {
        let document = document?;
        for sentence in splitter.sentences(&document.text) {
            corpus.push(sentence, splitter)?;
            corpus.end()?;
        }
        done += document.text.len() as u64;
        task.set(done);
        Talk { progress: context.progress, interrupt: context.interrupt }.check()?;
    }
    corpus.check(&artifact.folder)?;
    Ok(corpus)
}

/// Says which orders' discounts could not be estimated.
pub fn warn_of_fallbacks(discounts: &[Discounts], warn: &mut dyn FnMut(&str)) {
    let orders: Vec<String> =
        discounts.iter().zip(1..).filter(|(d, _)| d.fallback).map(|(_, order)| order.to_string()).collect();
    if !orders.is_empty() {
        warn(&format!(
            "the text is too small or too regular to estimate discounts for order {}; fixed ones are used there",
            orders.join(", ")
        ));
    }
}

/// What the model as it was written is worth.
fn metrics(context: &Context<'_>, counts: &[u64], tokens: u64) -> Result<Metrics> {
    let (model, splitter) = folder::load(context.out())?;
    let documents = read_documents(&context.input("corpus").folder, Split::Validation)?;
    let texts = documents.map(|document| Ok(document?.text));
    let mut metrics = Metrics::new();
    metrics.insert("order".into(), counts.len().into());
    metrics.insert("ngrams".into(), counts.iter().sum::<u64>().into());
    metrics.insert("vocab_size".into(), counts[0].into());
    metrics.insert("tokens".into(), tokens.into());
    if let Some(evaluation) = evaluate_documents(&model, &splitter, texts)? {
        metrics.insert("loss".into(), evaluation.loss.into());
        metrics.insert("perplexity".into(), evaluation.perplexity.into());
        metrics.insert("bits_per_byte".into(), evaluation.bits_per_byte.into());
        metrics.insert("unknown".into(), evaluation.unknown.into());
        metrics.insert("tokens_per_second".into(), evaluation.tokens_per_second.into());
    }
    Ok(metrics)
}
