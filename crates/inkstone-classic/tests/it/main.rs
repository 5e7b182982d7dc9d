//! N-gram models against their definitions and KenLM, word vectors against gensim, recurrent networks against
//! PyTorch; and all of them against bad input.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod feed_forward;
mod kenlm;
mod oracle;
mod recurrent;
mod structures;
mod support;
mod use_it;
mod word2vec;
