//! What the stages of all networks do alike.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use inkstone_corpus::Split;
use inkstone_corpus::shards::TokenShard;
use inkstone_recipe::fs::IoError;
use inkstone_recipe::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, StageError, Task, fs};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::language_model::{LanguageModel, Layout};
use super::train::{Epoch, Lesson, Optimizer, Training, Watch, train};
use crate::{ClassicError, Result};

/// In which precision matrix products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bfloat16, sums in single precision.
    Bf16,
}

impl From<Precision> for inkstone_kernels::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

// What the tables of all networks leave to us.

pub(crate) fn two_hundred() -> usize {
    200
}

pub(crate) fn fifth() -> f32 {
    0.2
}

pub(crate) fn twenty() -> usize {
    20
}

pub(crate) fn thirty_five() -> usize {
    35
}

pub(crate) fn adam_w() -> Optimizer {
    Optimizer::AdamW
}

pub(crate) fn quarter() -> f64 {
    0.25
}

pub(crate) fn five_hundred() -> u64 {
    500
}

/// The learning rate that an optimiser begins with where the recipe gives none.
pub(crate) fn usual_rate(optimizer: Optimizer) -> f64 {
    match optimizer {
        Optimizer::Sgd => 20.0,
        Optimizer::AdamW => 2e-3,
    }
}

/// Refuses what no training can be.
pub(crate) fn validate(training: &Training) -> Result<(), String> {
    if training.batch == 0 || training.steps == 0 {
        return Err("`batch_size` and `context` must be at least 1".to_owned());
    }
    if !(0.0..1.0).contains(&training.dropout) {
        return Err("`dropout` must be at least 0 and below 1".to_owned());
    }
    if !(training.learning_rate > 0.0 && training.learning_rate.is_finite() && training.clip >= 0.0) {
        return Err("`learning_rate` must be above 0, and `clip` at least 0".to_owned());
    }
    Ok(())
}

/// Tokens of a corpus, and the tokenizer.
pub(crate) fn inputs(tokenizer: &str) -> Vec<Input> {
    vec![
        Input { field: "tokens", stage: ".tokens".into(), kinds: &["tokens"] },
        Input { field: "tokenizer", stage: tokenizer.to_owned(), kinds: inkstone_tokenizer::stages::TOKENIZERS },
    ]
}

/// The stage that makes the tokens.
pub(crate) fn tokens(corpus: &str, tokenizer: &str) -> ImplicitStage {
    let config = json!({"corpus": corpus, "tokenizer": tokenizer, "append_eos": true});
    ImplicitStage { suffix: "tokens", kind: "tokens", config }
}

/// A number that an input's manifest has or will have.
pub(crate) fn forecast(inputs: &BTreeMap<String, Forecast>, field: &str, name: &str) -> Option<f64> {
    inputs.get(field)?.metrics.get(name).copied()
}

/// The cost of a training: six operations for each weight and token, but for vectors that are only looked up.
pub(crate) fn estimate(
    layout: &impl Layout,
    looked_up: usize,
    training: &Training,
    (inputs, machine): (&BTreeMap<String, Forecast>, &Machine),
) -> Estimate {
    let parameters: usize = layout.tensors().iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
    let tokens = forecast(inputs, "tokens", "train_tokens").map(|tokens| tokens * training.epochs as f64);
    let flops = tokens.map(|tokens| tokens * 6.0 * (parameters - looked_up) as f64);
    let logits = training.batch * training.steps * layout.vocab_size() * 8;
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

/// Trains the network that `make` gives for the tokenizer's vocabulary, and writes its folder.
pub(crate) fn run<M: LanguageModel>(
    training: &Training,
    context: &Context<'_>,
    make: impl FnOnce(usize) -> Result<M>,
) -> Result<Metrics, StageError> {
    let folder = &context.input("tokenizer").folder;
    let tokenizer = Tokenizer::load(folder).map_err(ClassicError::from)?;
    let tokens = &context.input("tokens").folder;
    let (text, validation) = (read(tokens, Split::Train)?, read(tokens, Split::Validation)?);
    let mut network = make(tokenizer.vocab_size())?;
    let total = training.epochs * text.len() as u64;
    let bar = context.progress.task("training", Some(total), "tokens");
    let mut watch = Watcher { bar, context };
    let lesson =
        Lesson { text: &text, validation: &validation, training, seed: context.seed, state: Some(context.state()) };
    let started = Instant::now();
    let epochs = train(&mut network, &lesson, &mut watch)?;
    let seconds = started.elapsed().as_secs_f64();
    drop(watch);
    write_log(context.out(), &epochs)?;
    network.save(context.out())?;
    copy_tokenizer(folder, context.out())?;
    let mut metrics = metrics(&network, &epochs, tokens_per_byte(&context.input("tokens").manifest.metrics));
    metrics.insert("tokens".to_owned(), json!(total));
    metrics.insert("tokens_per_second".to_owned(), json!(total as f64 / seconds.max(1e-9)));
    Ok(metrics)
}

fn read(tokens: &Path, split: Split) -> Result<Vec<u32>> {
    let shard = TokenShard::open(tokens, split)?;
    shard.check()?;
    Ok(shard.tokens(0..shard.n_tokens()).collect())
}

struct Watcher<'a> {
    bar: Box<dyn Task>,
    context: &'a Context<'a>,
}

impl Watch for Watcher<'_> {
    fn tokens(&mut self, done: u64, loss: f64) -> bool {
        self.bar.set(done);
        self.bar.note(&format!("loss {loss:.3}"));
        !self.context.interrupt.requested()
    }

    fn epoch(&mut self, epoch: &Epoch) {
        let Epoch { epoch, train_loss, validation_loss, .. } = *epoch;
        let validation = validation_loss.map_or_else(String::new, |loss| format!(", validation {loss:.4}"));
        self.context.progress.say(&format!("pass {epoch}: loss {train_loss:.4}{validation}"));
    }

    fn warn(&mut self, line: &str) {
        self.context.progress.warn(line);
    }
}

fn write_log(out: &Path, epochs: &[Epoch]) -> Result<()> {
    let mut log = String::new();
    for Epoch { epoch, train_loss, validation_loss, learning_rate } in epochs {
        let mut line = json!({"step": epoch, "train/loss": train_loss, "train/lr": learning_rate});
        if let Some(loss) = validation_loss {
            line["val/loss"] = json!(loss);
        }
        log.push_str(&line.to_string());
        log.push('\n');
    }
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

fn metrics(network: &impl LanguageModel, epochs: &[Epoch], tokens_per_byte: Option<f64>) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("parameters".to_owned(), json!(network.weights().len()));
    metrics.insert("vocab_size".to_owned(), json!(network.layout().vocab_size()));
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
