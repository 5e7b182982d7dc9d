//! Smaller models: weights in blocks of few bits, and GGUF files in and out.
//!
//! - [`gguf`]: what a GGUF file calls the tensors and settings of each architecture, a file as a source of weights, a folder as a file.
//! - [`quantise`]: how numbers become blocks: round to nearest, weighted by importance, or with each error made good (GPTQ).

mod error;
pub mod gguf;
pub mod quantise;

pub use error::CompressError;
