//! Inference: token ids in, token ids out. Knows nothing of text, HTTP or files.

mod generate;
mod sampling;

pub use generate::{EngineError, NextToken, generate, generate_with};
pub use sampling::Sampling;
