//! `cargo xtask peers NAME`: our figures beside those of the programs that users would take instead, in one run on one machine.

mod classic;
mod kenlm;
mod measure;

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
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    match &arguments.name {
        Name::Classic(arguments) => classic::run(arguments),
    }
}
