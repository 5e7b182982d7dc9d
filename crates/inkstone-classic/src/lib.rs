//! The generations of language models before the transformer.
//!
//! - [`ngram`]: back-off models over counts.
//! - [`word2vec`]: words as vectors.
//! - [`feed_forward`]: the next word from the vectors of the last few.
//! - [`recurrent`]: networks that read a text step by step.
//! - [`neural`]: what the last two have in common.

mod error;
pub mod feed_forward;
pub mod neural;
pub mod ngram;
mod random;
pub mod recurrent;
pub mod word2vec;

pub use error::{ClassicError, Result};
