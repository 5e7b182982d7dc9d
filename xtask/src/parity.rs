//! `cargo xtask parity NAME`: what we save and compute is what the programs that users have load and compute.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::program::{Program, run_to_end};
use crate::{Verdict, python, repo};

/// The programs that we compare with, pinned.
pub(crate) const PEERS: [&str; 4] = ["torch==2.15.0", "transformers==5.24.0", "tokenizers==0.23.3", "numpy==2.4.6"];

/// The decoders that transformers has, each with the `model` table of a tiny one.
const TABLES: [(&str, &str); 8] = [
    ("llama", "hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4, num_key_value_heads = 2"),
    ("mistral", "hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4, sliding_window = 16"),
    ("qwen2", "hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4"),
    ("gpt2", "n_embd = 64, n_layer = 2, n_head = 4"),
    ("openai-gpt", "n_embd = 64, n_layer = 2, n_head = 4"),
    ("bloom", "hidden_size = 64, n_layer = 2, n_head = 4"),
    ("glm", "hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4"),
    ("glm4", "hidden_size = 64, num_hidden_layers = 2, num_attention_heads = 4"),
];

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The architecture
    #[arg(value_parser = TABLES.map(|(name, _)| name))]
    name: String,
    /// A model folder that the program wrote; left out, a tiny model is trained
    #[arg(long)]
    model: Option<PathBuf>,
    /// Python that makes the environment of the peers
    #[arg(long, default_value = "python3")]
    python: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let python = python::environment(&arguments.python, "python", &PEERS)?;
    let program = Program::build()?;
    let model = match &arguments.model {
        Some(model) => repo::root().join(model),
        None => trained(&program, &arguments.name)?,
    };
    let model = model.canonicalize().with_context(|| format!("looking for the model folder {}", model.display()))?;
    let mut holds = true;
    for script in ["decoder.py", "tokenizer.py"] {
        holds &= repo::section(script, || {
            let path = repo::root().join("fixtures/scripts/parity").join(script);
            let mut command = Command::new(&python);
            command.arg(path).arg("--model").arg(&model).arg("--inkstone").arg(&program.0);
            verdict(&mut command)
        })?;
    }
    Ok(holds.into())
}

/// The folder of a tiny model of that architecture, trained on the sample world for a few steps.
fn trained(program: &Program, name: &str) -> Result<PathBuf> {
    let folder = repo::target().join("parity").join(name);
    let table = TABLES.iter().find(|(known, _)| *known == name).map_or("", |(_, table)| table);
    let recipe = format!(
        r#"name = "parity"
seed = 1
[world]
kind = "world"
[corpus]
kind = "corpus"
from = "world"
[chat]
kind = "chat"
from = "world"
[tokenizer]
kind = "tokenizer"
from = "corpus"
vocab_size = 1024
[pretrain]
kind = "pretrain"
corpus = "corpus"
tokenizer = "tokenizer"
model = {{ architecture = "{name}", {table} }}
steps = 40
batch_size = 4
context = 128
optimizer = {{ learning_rate = 3e-3 }}
[model]
kind = "sft"
base = "pretrain"
chat = "chat"
steps = 20
batch_size = 4
context = 128
optimizer = {{ learning_rate = 1e-3 }}
"#
    );
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("parity.toml"), recipe).context("writing the recipe")?;
    repo::section("training", || run_to_end(&mut program.command(&folder, &["run", "parity.toml"])?, &folder))?;
    Ok(folder.join("runs/parity/model"))
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
