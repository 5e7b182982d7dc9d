//! What a recipe says about a training run.

use serde::{Deserialize, Serialize};

use crate::optimizer::OptimizerConfig;
use crate::schedule::Schedule;

/// In which precision matrix products are computed. Weights, moments and everything between the
/// products stay in f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bfloat16, sums in f32.
    Bf16,
}

impl From<Precision> for inkstone_nn::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::Bf16,
        }
    }
}

/// Declares the config of a training stage: its own fields, and after them those that every
/// training stage has (`serde(flatten)` would lose the list of known keys from error messages).
macro_rules! training_stage_config {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
            /// Optimiser steps; or give `epochs`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub steps: Option<u64>,
            /// Passes over the training split; or give `steps`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub epochs: Option<f64>,
            /// Rows of a batch.
            pub batch_size: usize,
            /// Tokens of a row.
            pub context: usize,
            /// Batches whose gradients are summed for one step. Default 1.
            #[serde(default = "crate::config::one")]
            pub accumulate: usize,
            /// AdamW.
            pub optimizer: crate::optimizer::OptimizerConfig,
            /// Learning rate over time. Default: cosine.
            #[serde(default)]
            pub schedule: crate::schedule::Schedule,
            /// Largest norm of the gradient; 0 switches clipping off. Default 1.
            #[serde(default = "crate::config::unit")]
            pub clip: f64,
            /// Precision of matrix products. Default f32.
            #[serde(default)]
            pub precision: crate::config::Precision,
            /// Whether attention stops at the border of documents. Default true.
            #[serde(default = "crate::config::yes")]
            pub separate_documents: bool,
            /// Steps between two losses on the validation split. Default 100; 0: only at the end.
            #[serde(default = "crate::config::hundred")]
            pub evaluate_every: u64,
            /// Batches of such a loss (the last one covers the whole split). Default 8.
            #[serde(default = "crate::config::eight")]
            pub evaluate_batches: u64,
            /// Steps between two checkpoints. Default 200; 0: none but on Ctrl-C.
            #[serde(default = "crate::config::two_hundred")]
            pub checkpoint_every: u64,
            /// Steps between two samples. Default 0: only at the end.
            #[serde(default)]
            pub sample_every: u64,
            /// What the samples go on from.
            #[serde(default)]
            pub sample_prompts: Vec<String>,
            /// Tokens of a sample. Default 48.
            #[serde(default = "crate::config::sample_tokens")]
            pub sample_tokens: usize,
        }

        impl $name {
            /// What the training loop needs to know.
            pub fn training(&self) -> crate::config::TrainingConfig {
                crate::config::TrainingConfig {
                    steps: self.steps,
                    epochs: self.epochs,
                    batch_size: self.batch_size,
                    context: self.context,
                    accumulate: self.accumulate,
                    optimizer: self.optimizer.clone(),
                    schedule: self.schedule.clone(),
                    clip: self.clip,
                    precision: self.precision,
                    separate_documents: self.separate_documents,
                    evaluate_every: self.evaluate_every,
                    evaluate_batches: self.evaluate_batches,
                    checkpoint_every: self.checkpoint_every,
                    sample_every: self.sample_every,
                    sample_prompts: self.sample_prompts.clone(),
                    sample_tokens: self.sample_tokens,
                }
            }
        }
    };
}
pub(crate) use training_stage_config;

pub(crate) fn one() -> usize {
    1
}

pub(crate) fn unit() -> f64 {
    1.0
}

pub(crate) fn yes() -> bool {
    true
}

pub(crate) fn eight() -> u64 {
    8
}

pub(crate) fn eight_answers() -> usize {
    8
}

pub(crate) fn answer_tokens() -> usize {
    32
}

pub(crate) fn known_characters() -> usize {
    64
}

pub(crate) fn kl() -> f64 {
    0.04
}

pub(crate) fn clip_ratio() -> f64 {
    0.2
}

pub(crate) fn hundred() -> u64 {
    100
}

pub(crate) fn two_hundred() -> u64 {
    200
}

pub(crate) fn sample_tokens() -> usize {
    48
}

/// The part of a stage's config that the training loop reads; the fields are documented where a
/// recipe sets them, in `training_stage_config`.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "documented at training_stage_config")]
pub struct TrainingConfig {
    pub steps: Option<u64>,
    pub epochs: Option<f64>,
    pub batch_size: usize,
    pub context: usize,
    pub accumulate: usize,
    pub optimizer: OptimizerConfig,
    pub schedule: Schedule,
    pub clip: f64,
    pub precision: Precision,
    pub separate_documents: bool,
    pub evaluate_every: u64,
    pub evaluate_batches: u64,
    pub checkpoint_every: u64,
    pub sample_every: u64,
    pub sample_prompts: Vec<String>,
    pub sample_tokens: usize,
}

/// Largest batch, in tokens, that a recipe may ask for.
const MAX_BATCH_TOKENS: usize = 1 << 26;

impl TrainingConfig {
    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        match (self.steps, self.epochs) {
            (None, None) => return Err("`steps` is missing (or `epochs`)".into()),
            (Some(_), Some(_)) => return Err("`epochs` and `steps` are both given, expected one of them".into()),
            (_, Some(epochs)) if !(epochs > 0.0 && epochs <= 1e6) => {
                return Err(format!("`epochs` is {epochs}, expected more than 0"));
            }
            _ => {}
        }
        positive("batch_size", self.batch_size)?;
        positive("context", self.context)?;
        positive("accumulate", self.accumulate)?;
        if self.batch_size.saturating_mul(self.context) > MAX_BATCH_TOKENS {
            return Err(format!(
                "`batch_size` times `context` is more than {MAX_BATCH_TOKENS} tokens; use `accumulate`"
            ));
        }
        if self.clip.is_nan() || self.clip < 0.0 {
            return Err(format!("`clip` is {}, expected 0 or more", self.clip));
        }
        self.optimizer.validate()?;
        self.schedule.validate()
    }

    /// The number of optimiser steps, given the batches of one pass over the training split.
    pub fn total_steps(&self, batches_per_pass: u64) -> u64 {
        match (self.steps, self.epochs) {
            (Some(steps), _) => steps,
            (None, Some(epochs)) => {
                ((epochs * batches_per_pass as f64) / self.accumulate as f64).ceil().max(1.0) as u64
            }
            (None, None) => 0,
        }
    }

    /// Tokens of one optimiser step, padding included.
    pub fn tokens_per_step(&self) -> u64 {
        (self.batch_size * self.context * self.accumulate) as u64
    }
}

fn positive(name: &str, value: usize) -> Result<(), String> {
    if value > 0 { Ok(()) } else { Err(format!("`{name}` is 0, expected 1 or more")) }
}
