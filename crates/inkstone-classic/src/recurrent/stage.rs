//! The `recurrent` stage: a corpus in, a model folder out.

use std::collections::BTreeMap;

use inkstone_recipe::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};

use super::network::Network;
use super::shape::{Kind, Shape};
use crate::neural::stage::{self, forecast, usual_rate};
use crate::neural::{LanguageModel, Layout, Optimizer, Precision, Training};

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
    #[serde(default = "stage::two_hundred")]
    pub hidden: usize,
    /// Layers; 2.
    #[serde(default = "two")]
    pub layers: usize,
    /// Whether the head shares the embedding's weights; true.
    #[serde(default = "yes")]
    pub tied: bool,
    /// Share of units that are left out between layers in training; 0.2.
    #[serde(default = "stage::fifth")]
    pub dropout: f32,
    /// Columns of the text that are read side by side; 20.
    #[serde(default = "stage::twenty")]
    pub batch_size: usize,
    /// Steps in time that the gradient goes back; 35.
    #[serde(default = "stage::thirty_five")]
    pub context: usize,
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

fn lstm() -> Kind {
    Kind::Lstm
}
fn two() -> usize {
    2
}
fn yes() -> bool {
    true
}

impl RecurrentConfig {
    fn shape(&self, vocab_size: usize) -> Shape {
        let embedding = self.embedding.unwrap_or(self.hidden);
        Shape { cell: self.cell, vocab_size, embedding, hidden: self.hidden, layers: self.layers, tied: self.tied }
    }

    fn training(&self) -> Training {
        Training {
            batch: self.batch_size,
            steps: self.context,
            epochs: self.epochs,
            optimizer: self.optimizer,
            learning_rate: self.learning_rate.unwrap_or_else(|| usual_rate(self.optimizer)),
            clip: self.clip,
            dropout: self.dropout,
            precision: self.precision.into(),
            frozen_vectors: false,
            checkpoint_every: self.checkpoint_every,
        }
    }
}

/// The `recurrent` stage.
#[derive(Debug, Clone, Copy)]
pub struct RecurrentStage;

impl Stage for RecurrentStage {
    type Config = RecurrentConfig;
    const KIND: &'static str = "recurrent";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "trains a recurrent network to predict the next token";

    fn validate(config: &RecurrentConfig) -> Result<(), String> {
        config.shape(2).check().map_err(|error| error.to_string())?;
        stage::validate(&config.training())
    }

    fn inputs(config: &RecurrentConfig) -> Vec<Input> {
        stage::inputs(&config.tokenizer)
    }

    fn implicit(config: &RecurrentConfig) -> Vec<ImplicitStage> {
        vec![stage::tokens(&config.corpus, &config.tokenizer)]
    }

    fn estimate(config: &RecurrentConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let shape = config.shape(forecast(inputs, "tokenizer", "vocab_size").unwrap_or(4096.0) as usize);
        let looked_up = if shape.tied { 0 } else { shape.vocab_size * shape.embedding };
        stage::estimate(&shape, looked_up, &config.training(), (inputs, machine))
    }

    fn run(config: &RecurrentConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        stage::run(&config.training(), context, |vocab| Network::drawn(config.shape(vocab), context.seed))
    }
}
