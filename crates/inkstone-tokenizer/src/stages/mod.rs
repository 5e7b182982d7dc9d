//! The two stages of this crate.

mod estimate;
mod tokenizer;
mod tokens;

pub use tokenizer::TokenizerStage;
pub use tokens::{TokensConfig, TokensStage};

/// Kinds of stage that make a model that goes on from a text, with a tokenizer in its folder.
pub const MODELS: &[&str] = &["pretrain", "sft", "finetune", "preference", "policy"];
/// Kinds of stage with a tokenizer in their folder.
pub const TOKENIZERS: &[&str] = &["tokenizer", "pretrain", "sft", "preference", "policy"];
