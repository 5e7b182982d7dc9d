//! The two stages of this crate.

mod estimate;
mod tokenizer;
mod tokens;

pub use tokenizer::TokenizerStage;
pub use tokens::{TokensConfig, TokensStage};
