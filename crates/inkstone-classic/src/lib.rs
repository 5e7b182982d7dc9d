//! The generations of language models before the transformer.
//!
//! - [`ngram`]: back-off models over counts.

mod error;
pub mod ngram;

pub use error::{ClassicError, Result};
