//! `cargo xtask threads`: the number of threads decides nothing, and neither does chance.

use anyhow::Result;

use crate::program::{Program, RecipeArguments, run_to_end};
use crate::{Verdict, repo, runs};

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    recipe: RecipeArguments,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let program = Program::build()?;
    let folder = repo::scratch("threads")?;
    let mut columns = Vec::new();
    for (name, threads) in [("one", "1"), ("two", "2"), ("two-again", "2")] {
        let folder = folder.join(name);
        repo::section(&format!("{threads} thread(s)"), || {
            let mut command = program.run(&folder, &arguments.recipe)?;
            run_to_end(command.env("RAYON_NUM_THREADS", threads), &folder)
        })?;
        columns.push(runs::stages(&folder)?);
    }
    println!();
    Ok(runs::compare(&["1 thread", "2 threads", "2 threads again"], &columns).into())
}
