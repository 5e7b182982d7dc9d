//! `cargo xtask peers NAME`: our figures beside those of the programs that users would take instead, in one run on one machine.

mod align;
mod classic;
mod kenlm;
mod llama_cpp;
mod lstm;
pub(crate) mod measure;
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
    /// Adapters and preferences: peft and trl on PyTorch
    Align(align::Arguments),
    /// N-gram models: KenLM
    Classic(classic::Arguments),
    /// Inference: llama.cpp
    LlamaCpp(llama_cpp::Arguments),
    /// Recurrent networks: PyTorch
    Lstm(lstm::Arguments),
    /// Training: PyTorch, plain and compiled
    Train(train::Arguments),
    /// Word vectors: the original program and gensim
    Word2vec(word2vec::Arguments),
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    match &arguments.name {
        Name::Align(arguments) => align::run(arguments),
        Name::Classic(arguments) => classic::run(arguments),
        Name::LlamaCpp(arguments) => llama_cpp::run(arguments),
        Name::Lstm(arguments) => lstm::run(arguments),
        Name::Train(arguments) => train::run(arguments),
        Name::Word2vec(arguments) => word2vec::run(arguments),
    }
}
