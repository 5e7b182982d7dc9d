//! Training a tokenizer, deterministically.
//!
//! The trainers of the `tokenizers` crate walk over hash maps with random seeds and add floats in an
//! order that depends on the number of threads, so they are not used as they stand: byte-pair
//! merges (for BPE and `WordPiece`) are learnt by [`merges`], where ties go to the pair with the smaller
//! ids; Unigram uses the crate's trainer on one thread with sorted words and puts its result into a
//! fixed order ([`unigram`]). Everything is learnt from counts of words, so the order of the
//! documents does not matter.

mod alphabet;
mod build;
mod config;
mod merges;
mod models;
mod pipeline;
mod unigram;
mod words;

pub use config::{Algorithm, TokenizerConfig};

pub(crate) use build::{Step, Watch};

use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// Trains a tokenizer on texts. `template` is the source of the chat template, where there is to be
/// one ([`CHATML`](crate::CHATML)).
///
/// # Errors
/// If a text can't be read, the texts are empty, or they give fewer tokens than asked for.
pub fn train(
    config: &TokenizerConfig,
    template: Option<&str>,
    texts: impl Iterator<Item = Result<String>>,
) -> Result<Tokenizer> {
    build::train(config, template, texts, &mut |_, _| Ok(()))
}

/// As [`train`], with somebody who watches and may stop it.
pub(crate) fn train_watched(
    config: &TokenizerConfig,
    template: Option<&str>,
    texts: impl Iterator<Item = Result<String>>,
    watch: Watch<'_>,
) -> Result<Tokenizer> {
    build::train(config, template, texts, watch)
}
