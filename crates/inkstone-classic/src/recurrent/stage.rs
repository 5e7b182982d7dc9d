//! The `recurrent` stage: a corpus in, a model folder out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use inkstone_corpus::Split;
use inkstone_corpus::shards::TokenShard;
use inkstone_recipe::fs::IoError;
use inkstone_recipe::{
    Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError, Task, fs,
};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::network::Network;
use super::shape::{Kind, Shape};
use super::train::{Epoch, Optimizer, Training, Watch, train};
use crate::{ClassicError, Result};

/// The `recurrent` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecurrentConfig {
    /// The `corpus` stage.
    pub corpus: String,
    /// The `tokenizer` stage.
    pub tokenizer: String,
    /// `lstm` (the default), `gru` or `elman`.
    #[serde(default = "lstm")]
    pub cell: Kind,
    /// Numbers in a token's vector; as `hidden`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Units of a layer; 200.
    #[serde(default = "two_hundred")]
    pub hidden: usize,
    /// Layers; 2.
    #[serde(default = "two")]
    pub layers: usize,
    /// Whether the head shares the embedding's weights; true.
    #[serde(default = "yes")]
    pub tied: bool,
    /// Share of units that are left out between layers in training; 0.2.
    #[serde(default = "fifth")]
    pub dropout: f32,
    /// Columns of the text that are read side by side; 20.
    #[serde(default = "twenty")]
    pub batch_size: usize,
    /// Steps in time that the gradient goes back; 35.
    #[serde(default = "thirty_five")]
    pub context: usize,
    /// Passes over the text.
    pub epochs: u64,
    /// `adam_w` (the default) or `sgd`.
    #[serde(default = "adam_w")]
    pub optimizer: Optimizer,
    /// Learning rate at the start; 0.002 for AdamW, 20 for SGD. It falls to a quarter after each pass that does
    /// not lower the validation loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Longest gradient; 0.25, 0 for any.
    #[serde(default = "quarter")]
    pub clip: f64,
}

fn lstm() -> Kind {
    Kind::Lstm
}
fn two_hundred() -> usize {
    200
}
fn two() -> usize {
    2
}
fn yes() -> bool {
    true
}
fn fifth() -> f32 {
    0.2
}
fn twenty() -> usize {
    20
}
fn thirty_five() -> usize {
    35
}
fn adam_w() -> Optimizer {
    Optimizer::AdamW
}
fn quarter() -> f64 {
    0.25
}

impl RecurrentConfig {
    fn shape(&self, vocab_size: usize) -> Shape {
        let embedding = self.embedding.unwrap_or(self.hidden);
        Shape { cell: self.cell, vocab_size, embedding, hidden: self.hidden, layers: self.layers, tied: self.tied }
    }

    fn training(&self) -> Training {
        let usual = match self.optimizer {
            Optimizer::Sgd => 20.0,
            Optimizer::AdamW => 2e-3,
        };
        Training {
            batch: self.batch_size,
            steps: self.context,
            epochs: self.epochs,
            optimizer: self.optimizer,
            learning_rate: self.learning_rate.unwrap_or(usual),
            clip: self.clip,
            dropout: self.dropout,
        }
    }
}

/// The `recurrent` stage.
#[derive(Debug, Clone, Copy)]
pub struct RecurrentStage;

impl Stage for RecurrentStage {
    type Config = RecurrentConfig;
    const KIND: &'static str = "recurrent";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "trains a recurrent network to predict the next token";

    fn validate(config: &RecurrentConfig) -> Result<(), String> {
        config.shape(2).check().map_err(|error| error.to_string())?;
        if config.batch_size == 0 || config.context == 0 {
            return Err("`batch_size` and `context` must be at least 1".to_owned());
        }
        if !(0.0..1.0).contains(&config.dropout) {
            return Err("`dropout` must be at least 0 and below 1".to_owned());
        }
        let rate = config.training().learning_rate;
        if !(rate > 0.0 && rate.is_finite() && config.clip >= 0.0) {
            return Err("`learning_rate` must be above 0, and `clip` at least 0".to_owned());
        }
        Ok(())
    }

    fn inputs(config: &RecurrentConfig) -> Vec<Input> {
        vec![
            Input { field: "tokens", stage: ".tokens".into(), kinds: &["tokens"] },
            Input { field: "tokenizer", stage: config.tokenizer.clone(), kinds: &["tokenizer"] },
        ]
    }

    fn implicit(config: &RecurrentConfig) -> Vec<ImplicitStage> {
        let tokens = json!({"corpus": config.corpus, "tokenizer": config.tokenizer, "append_eos": true});
        vec![ImplicitStage { suffix: "tokens", kind: "tokens", config: tokens }]
    }

    fn estimate(config: &RecurrentConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let metric = |field: &str, name: &str| inputs.get(field).and_then(|input| input.metrics.get(name).copied());
        let shape = config.shape(metric("tokenizer", "vocab_size").unwrap_or(4096.0) as usize);
        let count = |(_, shape): &(String, Vec<usize>)| shape.iter().product::<usize>();
        let tensors = shape.tensors();
        let parameters: usize = tensors.iter().map(count).sum();
        let looked_up = if shape.tied { 0 } else { count(&tensors[0]) };
        let tokens = metric("tokens", "train_tokens").map(|tokens| tokens * config.epochs as f64);
        let flops = tokens.map(|tokens| tokens * 6.0 * (parameters - looked_up) as f64);
        let logits = config.batch_size * config.context * shape.vocab_size * 8;
        Estimate {
            parameters: Some(parameters as u64),
            tokens: tokens.map(|tokens| tokens as u64),
            flops,
            seconds: flops.map(|flops| flops / (0.5 * machine.flops_per_second.max(1e9))),
            peak_bytes: Some((parameters * 24 + logits) as u64),
            bytes: Some(parameters as u64 * 4),
            ..Estimate::default()
        }
    }

    fn run(config: &RecurrentConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let folder = &context.input("tokenizer").folder;
        let tokenizer = Tokenizer::load(folder).map_err(ClassicError::from)?;
        let tokens = &context.input("tokens").folder;
        let (text, validation) = (read(tokens, Split::Train)?, read(tokens, Split::Validation)?);
        let mut network = Network::drawn(config.shape(tokenizer.vocab_size()), context.seed)?;
        let training = config.training();
        let total = training.epochs * text.len() as u64;
        let mut watch =
            Watcher { bar: context.progress.task("training", Some(total), "tokens"), context, log: String::new() };
        let started = Instant::now();
        let epochs = train(&mut network, (&text, &validation), &training, context.seed, &mut watch)?;
        let seconds = started.elapsed().as_secs_f64();
        let Watcher { log, .. } = watch;
        write_log(context.out(), &log)?;
        network.save(context.out())?;
        copy_tokenizer(folder, context.out())?;
        let mut metrics = metrics(&network, &epochs, tokens_per_byte(&context.input("tokens").manifest.metrics));
        metrics.insert("tokens".to_owned(), json!(total));
        metrics.insert("tokens_per_second".to_owned(), json!(total as f64 / seconds.max(1e-9)));
        Ok(metrics)
    }
}

fn read(tokens: &Path, split: Split) -> Result<Vec<u32>> {
    let shard = TokenShard::open(tokens, split)?;
    shard.check()?;
    Ok(shard.tokens(0..shard.n_tokens()).collect())
}

struct Watcher<'a> {
    bar: Box<dyn Task>,
    context: &'a Context<'a>,
    log: String,
}

impl Watch for Watcher<'_> {
    fn tokens(&mut self, done: u64, loss: f64) -> bool {
        self.bar.set(done);
        self.bar.note(&format!("loss {loss:.3}"));
        !self.context.interrupt.requested()
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let Epoch { epoch, train_loss, validation_loss, learning_rate } = *epoch;
        let mut line = json!({"step": epoch, "train/loss": train_loss, "train/lr": learning_rate});
        if let Some(loss) = validation_loss {
            line["val/loss"] = json!(loss);
        }
        self.log.push_str(&line.to_string());
        self.log.push('\n');
        let validation = validation_loss.map_or_else(String::new, |loss| format!(", validation {loss:.4}"));
        self.context.progress.say(&format!("pass {epoch}: loss {train_loss:.4}{validation}"));
    }
}

fn write_log(out: &Path, log: &str) -> Result<()> {
    let logs = out.join("logs");
    fs::create_dir_all(&logs)?;
    Ok(fs::write_atomic(&logs.join("metrics.jsonl"), log.as_bytes())?)
}

/// Files that make a model folder speak the tokenizer's language.
const TOKENIZER_FILES: [&str; 3] = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];

fn copy_tokenizer(from: &Path, to: &Path) -> Result<()> {
    for name in TOKENIZER_FILES {
        let path = from.join(name);
        if path.exists() {
            std::fs::copy(&path, to.join(name)).map_err(IoError::at("copy", &path))?;
        }
    }
    Ok(())
}

/// Tokens over bytes of the validation split.
fn tokens_per_byte(metrics: &Metrics) -> Option<f64> {
    let number = |name: &str| metrics.get(name).and_then(serde_json::Value::as_f64).filter(|&x| x > 0.0);
    Some(number("validation_tokens")? / number("validation_bytes")?)
}

fn metrics(network: &Network, epochs: &[Epoch], tokens_per_byte: Option<f64>) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("parameters".to_owned(), json!(network.weights.len()));
    metrics.insert("vocab_size".to_owned(), json!(network.shape.vocab_size));
    metrics.extend(epochs.last().map(|epoch| ("train_loss".to_owned(), json!(epoch.train_loss))));
    let lowest = epochs.iter().filter_map(|epoch| epoch.validation_loss).min_by(f64::total_cmp);
    if let Some(loss) = lowest {
        metrics.insert("loss".to_owned(), json!(loss));
        metrics.insert("perplexity".to_owned(), json!(loss.exp()));
        let bits = tokens_per_byte.map(|ratio| loss * ratio / std::f64::consts::LN_2);
        metrics.extend(bits.map(|bits| ("bits_per_byte".to_owned(), json!(bits))));
    }
    metrics
}
