//! The generations of language models before the transformer.
//!
//! - [`ngram`]: back-off models over counts.

pub mod ngram;
