//! Training beside PyTorch: steps of one model on one batch, each program in its turn, as often as asked.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::measure::median;
use crate::program::Program;
use crate::{Verdict, parity, python, repo};

/// Times that we must be as fast as the best of PyTorch, and the share of its memory that we may take, on processors with
/// dot products of bfloat16 but without AMX.
const FASTER: f64 = 1.4;
const MEMORY: f64 = 0.5;

/// What is trained, on what, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The decoder: like LLaMA with 33.7 M parameters, or GPT-2 with 124 M
    #[arg(long, default_value = "llama", value_parser = ["llama", "gpt2"])]
    model: String,
    /// Rows of a batch (default: 8, of gpt2 4)
    #[arg(long)]
    batch: Option<usize>,
    /// Tokens of a row (default: 256, of gpt2 512)
    #[arg(long)]
    context: Option<usize>,
    /// Precision of matrix products
    #[arg(long, default_value = "bf16", value_parser = ["f32", "bf16"])]
    precision: String,
    /// Timed steps of each turn
    #[arg(long, default_value_t = 8)]
    steps: usize,
    /// Turns of each program; the median counts
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Leave out the compiled form, which takes a minute more for each turn
    #[arg(long)]
    no_compile: bool,
    /// Python that makes the environment of the peers
    #[arg(long, default_value = "python3")]
    python: String,
}

/// One of the programs, and its tokens per second and bytes of each turn.
pub(super) struct Peer {
    pub(super) name: &'static str,
    pub(super) command: Box<dyn Fn() -> Command>,
    pub(super) speeds: Vec<f64>,
    pub(super) bytes: Vec<f64>,
}

impl Peer {
    pub(super) fn new(name: &'static str, command: impl Fn() -> Command + 'static) -> Self {
        Self { name, command: Box::new(command), speeds: Vec::new(), bytes: Vec::new() }
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let python = python::environment(&arguments.python, "python", &parity::PEERS)?;
    let mut peers = peers(arguments, Program::build()?.0, python);
    for turn in 1..=arguments.turns.max(1) {
        for peer in &mut peers {
            let report = report(&mut (peer.command)())?;
            let number = |key: &str| report[key].as_f64().with_context(|| format!("{} tells no {key}", peer.name));
            peer.speeds.push(number("tokens_per_second")?);
            peer.bytes.push(number("peak_bytes")?);
            println!("turn {turn}: {:<16} {:>7.0} tokens/s", peer.name, peer.speeds[turn - 1]);
        }
    }
    Ok(verdict(&peers).into())
}

/// Ours first.
fn peers(arguments: &Arguments, program: PathBuf, python: PathBuf) -> Vec<Peer> {
    let (shape, [batch, context]) = match arguments.model.as_str() {
        "gpt2" => ("--architecture gpt2 --vocab-size 50257 --hidden-size 768 --layers 12 --heads 12", [4, 512]),
        _ => ("--intermediate-size 1376", [8, 256]),
    };
    let (batch, context) = (arguments.batch.unwrap_or(batch), arguments.context.unwrap_or(context));
    let shared = told([batch, context, arguments.steps], &arguments.precision);
    let (ours, model) = (shared.clone(), arguments.model.clone());
    let inkstone = move || {
        let mut command = Command::new(&program);
        command.args(["bench", "train", "--json"]).args(shape.split(' ')).args(&ours);
        command
    };
    let torch = move |compiled: bool| {
        let mut command = Command::new(&python);
        command.arg(repo::root().join("fixtures/scripts/peers/train.py")).args(&shared).args(["--model", &model]);
        command.args(["--threads", &std::thread::available_parallelism().map_or(1, usize::from).to_string()]);
        command.args(compiled.then_some("--compile"));
        command
    };
    let compiled = torch.clone();
    let mut peers = vec![Peer::new("inkstone", inkstone), Peer::new("PyTorch", move || torch(false))];
    if !arguments.no_compile {
        peers.push(Peer::new("PyTorch compiled", move || compiled(true)));
    }
    peers
}

/// What all programs are told.
pub(super) fn told([batch, context, steps]: [usize; 3], precision: &str) -> Vec<String> {
    let numbers = [("--batch", batch), ("--context", context), ("--steps", steps)];
    let numbers = numbers.iter().flat_map(|(name, n)| [(*name).to_owned(), n.to_string()]);
    numbers.chain(["--precision".to_owned(), precision.to_owned()]).collect()
}

/// The last line of what the command prints.
pub(super) fn report(command: &mut Command) -> Result<Value> {
    let output = command.stderr(std::process::Stdio::null()).output();
    let output = output.with_context(|| format!("starting `{}`", repo::shown(command)))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let start = text.find('{').with_context(|| format!("`{}` printed no report", repo::shown(command)))?;
    Ok(serde_json::from_str(&text[start..])?)
}

fn verdict(peers: &[Peer]) -> bool {
    for peer in peers {
        let mebibytes = median(peer.bytes.iter().copied()) / f64::from(1 << 20);
        println!("{:<16} {:>7.0} tokens/s, {mebibytes:>6.0} MiB", peer.name, median(peer.speeds.iter().copied()));
    }
    let Some((ours, theirs)) = peers.split_first() else { return false };
    let Some(best) =
        theirs.iter().max_by(|a, b| median(a.speeds.iter().copied()).total_cmp(&median(b.speeds.iter().copied())))
    else {
        return false;
    };
    let speed = median(ours.speeds.iter().copied()) / median(best.speeds.iter().copied());
    let memory = median(ours.bytes.iter().copied()) / median(best.bytes.iter().copied());
    println!(
        "{speed:.2} times as fast as {} (wanted: {FASTER}), in {memory:.2} of its memory (wanted: {MEMORY})",
        best.name
    );
    speed >= FASTER && memory <= MEMORY
}
