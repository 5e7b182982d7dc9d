//! Inference: token ids in, token ids out. Knows nothing of text, HTTP or files.

mod generate;
mod sampling;

pub use generate::{EngineError, generate};
pub use sampling::Sampling;
