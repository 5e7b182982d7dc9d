//! The `feed_forward` stage: a corpus in, a model folder out.

use std::collections::BTreeMap;

use inkstone_recipe::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};

use super::network::Network;
use super::shape::Shape;
use crate::neural::stage::{self, forecast, usual_rate};
use crate::neural::{LanguageModel, Layout, Optimizer, Precision, Training};
use crate::word2vec::{VECTORS_FILE, read_vectors};
use crate::{ClassicError, Result};

/// The `feed_forward` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedForwardConfig {
    /// The `corpus` stage.
    pub corpus: String,
    /// The `tokenizer` stage.
    pub tokenizer: String,
    /// A `word2vec` stage with the same tokenizer, whose vectors this model begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vectors: Option<String>,
    /// Whether those vectors stay as they are: words as given features; false.
    #[serde(default)]
    pub frozen: bool,
    /// Tokens that are looked at; 4.
    #[serde(default = "four")]
    pub context: usize,
    /// Numbers in a token's vector; 100. With `vectors` it is theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<usize>,
    /// Units of the hidden layer; 200.
    #[serde(default = "stage::two_hundred")]
    pub hidden: usize,
    /// Whether vectors lead to the outputs directly, too; false.
    #[serde(default)]
    pub direct: bool,
    /// Share of hidden units that are left out in training; 0.2.
    #[serde(default = "stage::fifth")]
    pub dropout: f32,
    /// Columns of the text that are read side by side; 20.
    #[serde(default = "stage::twenty")]
    pub batch_size: usize,
    /// Tokens of a column that are learnt in one step; 35.
    #[serde(default = "stage::thirty_five")]
    pub steps_together: usize,
    /// Passes over the text.
    pub epochs: u64,
    /// `adam_w` (the default) or `sgd`.
    #[serde(default = "stage::adam_w")]
    pub optimizer: Optimizer,
    /// Learning rate at the start; 0.002 for AdamW, 20 for SGD. It falls to a quarter after each pass that does
    /// not lower the validation loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Longest gradient; 0.25, 0 for any.
    #[serde(default = "stage::quarter")]
    pub clip: f64,
    /// Of matrix products: `f32` (the default) or `bf16`.
    #[serde(default)]
    pub precision: Precision,
    /// Steps of the optimiser between checkpoints; 500, 0 for none but on a stop.
    #[serde(default = "stage::five_hundred")]
    pub checkpoint_every: u64,
}

fn four() -> usize {
    4
}

/// Numbers in a vector where nothing says otherwise.
const EMBEDDING: usize = 100;

impl FeedForwardConfig {
    fn shape(&self, vocab_size: usize, embedding: usize) -> Shape {
        Shape { vocab_size, context: self.context, embedding, hidden: self.hidden, direct: self.direct }
    }

    fn training(&self) -> Training {
        Training {
            batch: self.batch_size,
            steps: self.steps_together,
            epochs: self.epochs,
            optimizer: self.optimizer,
            learning_rate: self.learning_rate.unwrap_or_else(|| usual_rate(self.optimizer)),
            clip: self.clip,
            dropout: self.dropout,
            precision: self.precision.into(),
            frozen_vectors: self.frozen,
            checkpoint_every: self.checkpoint_every,
        }
    }
}

/// The `feed_forward` stage.
#[derive(Debug, Clone, Copy)]
pub struct FeedForwardStage;

impl Stage for FeedForwardStage {
    type Config = FeedForwardConfig;
    const KIND: &'static str = "feed_forward";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "trains Bengio's network to predict the next token from the last few";

    fn validate(config: &FeedForwardConfig) -> Result<(), String> {
        if config.vectors.is_some() && config.embedding.is_some() {
            return Err("`embedding` comes with `vectors`; leave it out".to_owned());
        }
        if config.frozen && config.vectors.is_none() {
            return Err("`frozen` needs `vectors`: drawn ones that stay as they are say nothing".to_owned());
        }
        config.shape(2, config.embedding.unwrap_or(EMBEDDING)).check().map_err(|error| error.to_string())?;
        stage::validate(&config.training())
    }

    fn inputs(config: &FeedForwardConfig) -> Vec<Input> {
        let vectors = |stage: &String| Input { field: "vectors", stage: stage.clone(), kinds: &["word2vec"] };
        stage::inputs(&config.tokenizer).into_iter().chain(config.vectors.as_ref().map(vectors)).collect()
    }

    fn implicit(config: &FeedForwardConfig) -> Vec<ImplicitStage> {
        vec![stage::tokens(&config.corpus, &config.tokenizer)]
    }

    fn estimate(config: &FeedForwardConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let vocab_size = forecast(inputs, "tokenizer", "vocab_size").unwrap_or(4096.0) as usize;
        let embedding = forecast(inputs, "vectors", "size").map(|size| size as usize).or(config.embedding);
        let shape = config.shape(vocab_size, embedding.unwrap_or(EMBEDDING));
        let looked_up = (vocab_size + 1) * shape.embedding;
        stage::estimate(&shape, looked_up, &config.training(), (inputs, machine))
    }

    fn run(config: &FeedForwardConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        stage::run(&config.training(), context, |vocab_size| make(config, vocab_size, context))
    }
}

/// The network as it begins.
fn make(config: &FeedForwardConfig, vocab_size: usize, context: &Context<'_>) -> Result<Network> {
    if config.vectors.is_none() {
        return Network::drawn(config.shape(vocab_size, config.embedding.unwrap_or(EMBEDDING)), context.seed);
    }
    let path = context.input("vectors").folder.join(VECTORS_FILE);
    let vectors = read_vectors(&path)?;
    if vectors.words().len() != vocab_size {
        let what =
            format!("{} vectors for {vocab_size} tokens; both stages need the same tokenizer", vectors.words().len());
        return Err(ClassicError::Malformed { path, what });
    }
    let mut network = Network::drawn(config.shape(vocab_size, vectors.size()), context.seed)?;
    network.weights.0[0].values[..vectors.values().len()].copy_from_slice(vectors.values());
    Ok(network)
}
