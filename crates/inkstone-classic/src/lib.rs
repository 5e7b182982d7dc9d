//! The generations of language models before the transformer.
//!
//! - [`ngram`]: back-off models over counts.
//! - [`word2vec`]: words as vectors.
//! - [`recurrent`]: networks that read a text step by step.

mod error;
pub mod ngram;
mod random;
pub mod recurrent;
pub mod word2vec;

pub use error::{ClassicError, Result};
