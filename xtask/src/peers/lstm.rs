//! Recurrent language models beside PyTorch: words a second of training steps, each program in its turn; and how well both
//! have learnt the same tokens with the settings of PyTorch's word language model.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::measure::median;
use crate::program::{Program, run_to_end};
use crate::{Verdict, parity, python, repo};

/// Times that we must be as fast.
const FASTER: f64 = 1.5;
/// How far apart the perplexities may be.
const APART: f64 = 0.01;

/// What is compared, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Turns of each program; the median counts
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Timed steps of each turn
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Compare what is learnt instead of the speed, from wikitext2.valid.txt in `INKSTONE_DATA`
    #[arg(long)]
    learn: bool,
    /// Passes over the text
    #[arg(long, default_value_t = 6)]
    epochs: usize,
    /// Seeds, from 1 on; means of the losses are compared
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// Python that makes the environment of the peers
    #[arg(long, default_value = "python3")]
    python: String,
}

/// The recipe whose tokens both learn.
const RECIPE: &str = r#"name = "lstm"

[corpus]
kind = "corpus"
paths = ["${INKSTONE_DATA}/wikitext2.valid.txt"]
document = "piece"
max_document_bytes = 4096
normalization = "none"
deduplicate = false
split = "tail"
validation = 0.1

[tokenizer]
kind = "tokenizer"
from = "corpus"
vocab_size = 4096

[model]
kind = "recurrent"
corpus = "corpus"
tokenizer = "tokenizer"
cell = "lstm"
hidden = 200
layers = 2
tied = false
dropout = 0.2
batch_size = 20
context = 35
optimizer = "sgd"
learning_rate = 20.0
clip = 0.25
epochs = EPOCHS
"#;

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let python = python::environment(&arguments.python, "python", &parity::PEERS)?;
    let program = Program::build()?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    if arguments.learn {
        return learn(arguments, &program, (&python, &threads));
    }
    Ok(speeds(arguments, &program, (&python, &threads))?.into())
}

/// Words a second in both precisions; our faster one against PyTorch's.
fn speeds(arguments: &Arguments, program: &Program, (python, threads): (&Path, &str)) -> Result<bool> {
    let steps = arguments.steps.to_string();
    let mut speeds: [[Vec<f64>; 2]; 2] = Default::default();
    for turn in 1..=arguments.turns.max(1) {
        for (n, precision) in ["f32", "bf16"].into_iter().enumerate() {
            let mut own = Command::new(&program.0);
            own.args(["bench", "recurrent", "--json", "--precision", precision, "--steps", &steps]);
            let mut torch = torch(python, "speed", threads);
            torch.args("--vocab-size 10000 --hidden-size 650 --layers 2 --batch 20 --context 35 --steps".split(' '));
            let (ours, theirs) = (speed(&mut own)?, speed(torch.args([&steps, "--precision", precision]))?);
            println!("turn {turn}, {precision}: inkstone {ours:.0} words/s, PyTorch {theirs:.0}");
            speeds[n][0].push(ours);
            speeds[n][1].push(theirs);
        }
    }
    let medians = speeds.map(|programs| programs.map(median));
    for ([ours, theirs], precision) in medians.iter().zip(["f32", "bf16"]) {
        println!("{precision}: inkstone {ours:.0} words/s, PyTorch {theirs:.0}: {:.2} times", ours / theirs);
    }
    let best = |program: usize| medians.iter().map(|programs| programs[program]).fold(0.0, f64::max);
    let faster = best(0) / best(1);
    println!("two LSTM layers of 650, 10,000 words: {faster:.2} times PyTorch's best (wanted: {FASTER})");
    Ok(faster >= FASTER)
}

fn torch(python: &Path, what: &str, threads: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(repo::root().join("fixtures/scripts/peers/lstm.py")).args([what, "--threads", threads]);
    command
}

fn speed(command: &mut Command) -> Result<f64> {
    report(command)?["tokens_per_second"].as_f64().context("no speed was told")
}

/// What the command prints, JSON.
fn report(command: &mut Command) -> Result<Value> {
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.with_context(|| format!("starting `{}`", repo::shown(command)))?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("reading what `{}` prints", repo::shown(command)))
}

/// Both train with every seed; the mean losses are compared.
fn learn(arguments: &Arguments, program: &Program, (python, threads): (&Path, &str)) -> Result<Verdict> {
    let folder = repo::scratch("lstm")?;
    let epochs = arguments.epochs.to_string();
    let recipe = folder.join("lstm.toml");
    std::fs::write(&recipe, RECIPE.replace("EPOCHS", &epochs))?;
    let (mut ours, mut theirs) = (0.0, 0.0);
    for seed in 1..=arguments.seeds {
        let own = our_loss(program, &folder, &recipe, seed)?;
        let mut torch = torch(python, "learn", threads);
        torch.args("--hidden-size 200 --layers 2 --batch 20 --context 35 --epochs".split(' ')).arg(&epochs);
        torch.arg("--tokens").arg(folder.join("runs/lstm/model.tokens")).args(["--seed", &seed.to_string()]);
        let their = report(&mut torch)?["loss"].as_f64().context("no loss was told")?;
        println!("seed {seed}: held-out perplexity: inkstone {:.2}, PyTorch {:.2}", own.exp(), their.exp());
        (ours, theirs) = (ours + own / arguments.seeds as f64, theirs + their / arguments.seeds as f64);
    }
    let apart = (ours - theirs).exp() - 1.0;
    println!(
        "perplexity {:.2} and {:.2}: {:+.2} % (allowed: {:.0} %)",
        ours.exp(),
        theirs.exp(),
        100.0 * apart,
        100.0 * APART
    );
    Ok((apart <= APART).into())
}

fn our_loss(program: &Program, folder: &Path, recipe: &Path, seed: u64) -> Result<f64> {
    let mut command = program.command(folder, &["run"])?;
    run_to_end(command.arg(recipe).args(["--set", &format!("seed={seed}")]), folder)?;
    let manifest = std::fs::read(folder.join("runs/lstm/model/manifest.json")).context("reading the manifest")?;
    let manifest: Value = serde_json::from_slice(&manifest)?;
    manifest["metrics"]["loss"].as_f64().context("the manifest has no loss")
}
