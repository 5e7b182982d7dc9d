//! `cargo xtask parity NAME`: what we save and compute is what the programs that users have load and compute.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::program::Program;
use crate::{Verdict, repo};

/// The programs that we compare with, pinned.
const PEERS: [&str; 4] = ["torch==2.15.0", "transformers==5.24.0", "tokenizers==0.23.3", "numpy==2.4.6"];

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The architecture
    #[arg(value_parser = ["llama"])]
    name: String,
    /// A model folder that the program wrote
    #[arg(long, default_value = "runs/quickstart/model")]
    model: PathBuf,
    /// Python that makes the environment of the peers
    #[arg(long, default_value = "python3")]
    python: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let model = repo::root().join(&arguments.model);
    let model = model.canonicalize().with_context(|| format!("looking for the model folder {}", model.display()))?;
    let python = environment(&arguments.python)?;
    let program = Program::build()?;
    let mut holds = true;
    for script in [format!("{}.py", arguments.name), "tokenizer.py".to_owned()] {
        holds &= repo::section(&script, || {
            let path = repo::root().join("fixtures/scripts/parity").join(&script);
            let mut command = Command::new(&python);
            command.arg(path).arg("--model").arg(&model).arg("--inkstone").arg(&program.0);
            verdict(&mut command)
        })?;
    }
    Ok(holds.into())
}

/// The scripts end as we do: 0 holds, 1 does not, anything else could not be checked.
fn verdict(command: &mut Command) -> Result<bool> {
    command.env("HF_HUB_OFFLINE", "1").env("TOKENIZERS_PARALLELISM", "false").env("PYTHONDONTWRITEBYTECODE", "1");
    let status = command.status().with_context(|| format!("starting `{}`", repo::shown(command)))?;
    match status.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => bail!("`{}` could not compare", repo::shown(command)),
    }
}

/// The Python of `target/peers/python`, made and filled on first use, and again when a pin changes.
fn environment(python: &str) -> Result<PathBuf> {
    let folder = repo::target().join("peers/python");
    let (binary, stamp) = (folder.join("bin/python"), folder.join("pinned.txt"));
    let pins = PEERS.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == pins) {
        return Ok(binary);
    }
    repo::section("installing the pinned peers", || {
        repo::demand(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
        repo::demand(Command::new(&binary).args(["-m", "pip", "install", "--quiet"]).args(PEERS))?;
        std::fs::write(&stamp, pins).context("noting the pins")
    })?;
    Ok(binary)
}
