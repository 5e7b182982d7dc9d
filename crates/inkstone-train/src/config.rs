//! What a recipe says about a training run.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

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

/// The shape of a model in a recipe; the names are those of the architecture's `config.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelConfig {
    /// LLaMA (arXiv:2302.13971).
    Llama(LlamaShape),
}

/// What a recipe says about a LLaMA; the rest of `config.json` follows from it and the tokenizer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LlamaShape {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads. Default: as many as query heads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_key_value_heads: Option<usize>,
    /// Width of the feed-forward layer. Default: 8/3 of the hidden size, rounded up to 32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intermediate_size: Option<usize>,
    /// Longest sequence. Default: the context of the training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_position_embeddings: Option<usize>,
    /// Whether the head is the embedding. Default true.
    #[serde(default = "yes")]
    pub tie_word_embeddings: bool,
    /// Base of the rotary frequencies. Default 10,000.
    #[serde(default = "default_rope_theta")]
    pub rope_theta: f64,
    /// Added to the mean square in RMSNorm. Default 1e-5.
    #[serde(default = "default_rms_norm_eps")]
    pub rms_norm_eps: f64,
    /// Standard deviation of the initial weights. Default 0.02.
    #[serde(default = "default_initializer_range")]
    pub initializer_range: f64,
}

fn default_rope_theta() -> f64 {
    10_000.0
}

fn default_rms_norm_eps() -> f64 {
    1e-5
}

fn default_initializer_range() -> f64 {
    0.02
}

/// What the tokenizer fixes of a model's `config.json`.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary {
    /// Number of token ids.
    pub size: usize,
    /// Id that begins a document, where there is one.
    pub bos: Option<u32>,
    /// Id that ends a document, where there is one.
    pub eos: Option<u32>,
    /// Id of padding, where there is one.
    pub pad: Option<u32>,
}

impl ModelConfig {
    /// The longest sequence of the model, given the context of its training.
    pub fn positions(&self, context: usize) -> usize {
        let Self::Llama(shape) = self;
        shape.max_position_embeddings.unwrap_or(context)
    }

    /// The architecture's `config.json`, in the spellings of transformers 5 and 4.
    pub fn config_json(&self, vocabulary: Vocabulary, context: usize) -> Value {
        let Self::Llama(shape) = self;
        let heads = shape.num_attention_heads.max(1);
        json!({
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": vocabulary.size,
            "hidden_size": shape.hidden_size,
            "intermediate_size": shape.intermediate_size.unwrap_or_else(|| (shape.hidden_size * 8).div_ceil(3).next_multiple_of(32)),
            "num_hidden_layers": shape.num_hidden_layers,
            "num_attention_heads": heads,
            "num_key_value_heads": shape.num_key_value_heads.unwrap_or(heads),
            "head_dim": shape.hidden_size / heads,
            "hidden_act": "silu",
            "max_position_embeddings": self.positions(context),
            "initializer_range": shape.initializer_range,
            "rms_norm_eps": shape.rms_norm_eps,
            "use_cache": true,
            "tie_word_embeddings": shape.tie_word_embeddings,
            "rope_theta": shape.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
            "attention_bias": false,
            "attention_dropout": 0.0,
            "mlp_bias": false,
            "bos_token_id": vocabulary.bos,
            "eos_token_id": vocabulary.eos,
            "pad_token_id": vocabulary.pad,
            "dtype": "float32",
            "torch_dtype": "float32",
        })
    }

    /// What is wrong with the shape, if anything.
    pub fn validate(&self, context: usize) -> Result<(), String> {
        let Self::Llama(shape) = self;
        positive("model.hidden_size", shape.hidden_size)?;
        positive("model.num_hidden_layers", shape.num_hidden_layers)?;
        positive("model.num_attention_heads", shape.num_attention_heads)?;
        let (width, heads) = (shape.hidden_size, shape.num_attention_heads);
        if width % heads != 0 || (width / heads) % 2 != 0 {
            return Err(format!(
                "`model.hidden_size` is {width}, expected an even multiple of num_attention_heads = {heads}"
            ));
        }
        match shape.num_key_value_heads {
            Some(groups) if groups == 0 || heads % groups != 0 => Err(format!(
                "`model.num_key_value_heads` is {groups}, expected a divisor of num_attention_heads = {heads}"
            )),
            _ => match shape.max_position_embeddings {
                Some(longest) if longest < context => {
                    Err(format!("`context` is {context}, more than model.max_position_embeddings = {longest}"))
                }
                _ => Ok(()),
            },
        }
    }
}
