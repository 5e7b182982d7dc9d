//! `cargo xtask peers NAME`: our figures beside those of the programs that users would take instead, in one run on one machine.

mod classic;
mod kenlm;
mod llama_cpp;
mod measure;
mod train;
mod word2vec;

use anyhow::Result;

use crate::Verdict;

/// Which peers.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    name: Name,
}

#[derive(Debug, clap::Subcommand)]
enum Name {
    /// N-gram models: KenLM
    Classic(classic::Arguments),
    /// Inference: llama.cpp
    LlamaCpp(llama_cpp::Arguments),
    /// Training: PyTorch, plain and compiled
    Train(train::Arguments),
    /// Word vectors: the original program and gensim
    Word2vec(word2vec::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    match &arguments.name {
        Name::Classic(arguments) => classic::run(arguments),
        Name::LlamaCpp(arguments) => llama_cpp::run(arguments),
        Name::Train(arguments) => train::run(arguments),
        Name::Word2vec(arguments) => word2vec::run(arguments),
    }
}
