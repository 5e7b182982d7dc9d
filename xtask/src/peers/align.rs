//! `LoRA` and `DPO` beside peft and trl: steps of one model on one batch, each program in its turn, as often as asked.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::measure::median;
use super::train::{Peer, report, told};
use crate::program::Program;
use crate::{Verdict, python, repo};

/// Times that we must be as fast as the best of theirs.
const FASTER: f64 = 2.0;
const PINS: [&str; 8] = [
    "torch==2.15.0",
    "transformers==5.24.0",
    "tokenizers==0.23.3",
    "numpy==2.4.6",
    "peft==0.21.2",
    "trl==1.16.0",
    "datasets==5.2.0",
    "accelerate==1.15.0",
];

/// The shapes: name, and what `inkstone bench train` is told.
const SHAPES: [(&str, &[&str]); 2] = [
    ("33M", &["--intermediate-size", "1376"]),
    ("124M", &["--vocab-size", "25000", "--hidden-size", "768", "--layers", "12", "--heads", "12"]),
];

/// What is trained on, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// lora, dpo; default both
    #[arg(long, value_parser = ["lora", "dpo"])]
    what: Option<String>,
    /// 33M, 124M; default both
    #[arg(long, value_parser = ["33M", "124M"])]
    shape: Option<String>,
    /// Rows of a batch; half of them are chosen
    #[arg(long, default_value_t = 8)]
    batch: usize,
    /// Tokens of a row
    #[arg(long, default_value_t = 256)]
    context: usize,
    /// Precision of matrix products
    #[arg(long, default_value = "bf16", value_parser = ["f32", "bf16"])]
    precision: String,
    /// Timed steps of each turn
    #[arg(long, default_value_t = 3)]
    steps: usize,
    /// Turns of each program; the median counts
    #[arg(long, default_value_t = 2)]
    turns: usize,
    /// Leave out the compiled form, which takes minutes more for each turn
    #[arg(long)]
    no_compile: bool,
    /// Python that makes the environment of the peers
    #[arg(long, default_value = "python3")]
    python: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let python = python::environment(&arguments.python, "align", &PINS)?;
    let program = Program::build()?.0;
    let mut holds = true;
    for what in ["lora", "dpo"].into_iter().filter(|what| arguments.what.as_deref().is_none_or(|only| only == *what)) {
        for shape in SHAPES.into_iter().filter(|(name, _)| arguments.shape.as_deref().is_none_or(|only| only == *name))
        {
            holds &= compare(arguments, (&program, &python), what, shape)?;
        }
    }
    Ok(holds.into())
}

/// Whether we are fast enough at `what` in one shape.
fn compare(
    arguments: &Arguments,
    (program, python): (&Path, &Path),
    what: &str,
    (shape, told): (&str, &[&str]),
) -> Result<bool> {
    let mut peers = vec![ours(arguments, program, what, told), theirs(arguments, python, (what, shape), false)];
    if !arguments.no_compile {
        peers.push(theirs(arguments, python, (what, shape), true));
    }
    for _ in 0..arguments.turns.max(1) {
        for peer in &mut peers {
            let report = report(&mut (peer.command)())?;
            peer.speeds.extend(report["tokens_per_second"].as_f64());
            peer.bytes.extend(report["peak_bytes"].as_f64());
        }
    }
    let speed = |peer: &Peer| median(peer.speeds.iter().copied());
    for peer in &peers {
        let mebibytes = median(peer.bytes.iter().copied()) / f64::from(1 << 20);
        println!("{what} {shape:<4} {:<18} {:>7.0} tokens/s, {mebibytes:>6.0} MiB", peer.name, speed(peer));
    }
    let best = peers[1..].iter().map(speed).fold(0.0, f64::max);
    let times = speed(&peers[0]) / best;
    println!("{what} {shape:<4} {times:.2} times as fast as the best of them (wanted: {FASTER})");
    Ok(times >= FASTER)
}

fn shared(arguments: &Arguments) -> Vec<String> {
    told([arguments.batch, arguments.context, arguments.steps], &arguments.precision)
}

fn ours(arguments: &Arguments, program: &Path, what: &str, told: &[&str]) -> Peer {
    let learning: &[&str] = if what == "lora" { &["--lora", "8"] } else { &["--dpo"] };
    let words: Vec<String> =
        ["bench", "train", "--json"].iter().chain(learning).chain(told).map(|&s| s.to_owned()).collect();
    let (program, shared) = (program.to_owned(), shared(arguments));
    Peer::new("inkstone", move || {
        let mut command = Command::new(&program);
        command.args(&words).args(&shared);
        command
    })
}

fn theirs(arguments: &Arguments, python: &Path, (what, shape): (&str, &str), compiled: bool) -> Peer {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    let told = ["--what", what, "--shape", shape, "--threads", &threads].map(str::to_owned);
    let (python, shared) = (python.to_owned(), shared(arguments));
    Peer::new(if compiled { "peft/trl compiled" } else { "peft/trl" }, move || {
        let mut command = Command::new(&python);
        command.arg(repo::root().join("fixtures/scripts/peers/align.py")).args(&told).args(&shared);
        command.args(compiled.then_some("--compile"));
        command
    })
}
