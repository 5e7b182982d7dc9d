//! `cargo xtask peers llama-cpp`: inference against llama.cpp on the same files, turns alternating, medians compared.

mod alone;
mod install;
mod perplexity;
mod streams;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use super::measure::median;
use crate::program::Program;
use crate::{Verdict, repo};
use install::LlamaCpp;

/// What to compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these
    #[arg(long = "row", value_enum, value_name = "ROW")]
    rows: Vec<Row>,
    /// Only these types of the large file
    #[arg(long = "type", value_name = "TYPE", default_values = TYPES)]
    types: Vec<String>,
    /// Measurements of each program
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Tokens that are decoded in a turn
    #[arg(long, default_value_t = 48)]
    tokens: usize,
    /// For perplexity: a text; WikiText-2's test file of `INKSTONE_DATA` if left out
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// For perplexity: a model folder of ours; one is trained for a moment if left out
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Build llama.cpp and write the files, and do nothing else
    #[arg(long)]
    prepare: bool,
    /// Python that makes the environment
    #[arg(long, default_value = "python3")]
    python: String,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Row {
    /// One token after the other, 1.1 B parameters
    Decode,
    /// A prompt of 512 tokens, 1.1 B parameters
    Prefill,
    /// Both with 33.7 M parameters, in eight bits and in bfloat16
    Small,
    /// From the start of the program to the first token, files in the system's cache
    Load,
    /// 16 answers at a time from both servers
    Streams,
    /// 16 prompts that begin with the same 1,000 tokens, on our server, against each computed by itself
    Shared,
    /// A text that repeats, with tokens guessed ahead, against plain decoding
    Guesses,
    /// Of a model of ours, in both programs
    Perplexity,
}

/// Types of the large file.
const TYPES: [&str; 3] = ["q4_0", "q4_k", "q8_0"];
/// The shape of the small one.
const SMALL: [(&str, usize); 6] =
    [("vocab", 8192), ("hidden", 512), ("feed", 1376), ("layers", 8), ("heads", 8), ("key-heads", 8)];
/// Both programs use as many threads.
const THREADS: &str = "2";
/// Tokens of a prompt.
const PROMPT: usize = 512;

/// Two programs on one machine.
struct Trial<'a> {
    ours: Program,
    theirs: LlamaCpp,
    arguments: &'a Arguments,
    scratch: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let theirs = LlamaCpp::build(&arguments.python)?;
    let trial = Trial { ours: Program::build()?, theirs, arguments, scratch: repo::scratch("peers-llama-cpp")? };
    let large: Vec<PathBuf> =
        arguments.types.iter().map(|kind| trial.theirs.shape("large", kind, &[])).collect::<Result<_>>()?;
    let small: Vec<PathBuf> =
        ["q8_0", "bf16"].iter().map(|kind| trial.theirs.shape("small", kind, &SMALL)).collect::<Result<_>>()?;
    if arguments.prepare {
        return Ok(Verdict::Holds);
    }
    let wanted = |row: Row| arguments.rows.is_empty() || arguments.rows.contains(&row);
    let mut holds = true;
    for path in large.iter().filter(|_| wanted(Row::Decode)) {
        holds &= trial.rates(path, What::Decode, 1.0)?;
    }
    for path in large.iter().filter(|_| wanted(Row::Prefill)) {
        holds &= trial.rates(path, What::Prefill, 2.0)?;
    }
    for path in small.iter().filter(|_| wanted(Row::Small)) {
        holds &= trial.rates(path, What::Prefill, 1.5)? & trial.rates(path, What::Decode, 1.2)?;
    }
    for path in large.iter().take(1) {
        holds &= !wanted(Row::Load) || trial.first_token(path)?;
        holds &= !wanted(Row::Streams) || trial.streams(path)?;
        holds &= !wanted(Row::Guesses) || trial.guesses(path)?;
    }
    holds &= !wanted(Row::Shared) || trial.shared(&small[0])?;
    let data = || Some(PathBuf::from(std::env::var_os("INKSTONE_DATA")?).join("wikitext2.test.txt"));
    match arguments.text.clone().or_else(data) {
        _ if !wanted(Row::Perplexity) => {}
        Some(text) => holds &= trial.perplexity(&text)?,
        None => println!("perplexity: skipped, no --text and no INKSTONE_DATA"),
    }
    Ok(holds.into())
}

/// Tokens that are timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Decode,
    Prefill,
}

impl Trial<'_> {
    /// Tokens per second, and whether ours are `wanted` times theirs.
    fn rates(&self, path: &Path, what: What, wanted: f64) -> Result<bool> {
        let (name, ours, theirs, tokens) = match what {
            What::Decode => ("decode", "decode", ["-p", "0", "-n"], self.arguments.tokens),
            What::Prefill => ("prefill", "prefill", ["-n", "0", "-p"], PROMPT),
        };
        let tokens = tokens.to_string();
        let (mut our_rates, mut their_rates, mut bandwidth) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.arguments.turns.max(1) {
            let mut bench = self.theirs.program("llama-bench");
            bench.arg("-m").arg(path).args(["-t", THREADS, "-r", "1", "-o", "json"]).args(theirs).arg(&tokens);
            let report = json_of(&mut bench)?;
            their_rates.push(report[0]["avg_ts"].as_f64().context("llama-bench names no speed")?);
            let mut bench = Command::new(&self.ours.0);
            bench.args(["--no-progress", "bench", ours, "--json", "--threads", THREADS, "--turns", "1", "-m"]);
            let report = json_of(bench.arg(path).args(["--tokens", &tokens]))?;
            our_rates.push(report["tokens_per_second"].as_f64().context("our bench names no speed")?);
            let share = |read: &Value| Some(report["bytes_per_second"].as_f64()? / read.as_f64()?);
            bandwidth.extend(share(&report["read_bytes_per_second"]));
        }
        let (a, b) = (median(our_rates), median(their_rates));
        let file = path.file_stem().unwrap_or_default().to_string_lossy();
        let bandwidth = match what {
            What::Decode => format!("; {:.0} % of the measured rate of reading", 100.0 * median(bandwidth)),
            What::Prefill => String::new(),
        };
        println!(
            "{name} {file}: ours {a:.1} tokens/s, llama.cpp {b:.1}: {:.2} times (wanted: {wanted}){bandwidth}",
            a / b
        );
        Ok(a >= wanted * b)
    }

    /// Seconds from the start of each program to its end after one token.
    fn first_token(&self, path: &Path) -> Result<bool> {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.arguments.turns.max(1) {
            let mut bench = self.theirs.program("llama-bench");
            bench.arg("-m").arg(path).args(["-t", THREADS, "-r", "1", "--no-warmup", "-n", "0", "-p", "1"]);
            theirs.push(seconds(&mut bench)?);
            let mut bench = Command::new(&self.ours.0);
            bench.args([
                "--no-progress",
                "bench",
                "decode",
                "--threads",
                THREADS,
                "--turns",
                "0",
                "--tokens",
                "1",
                "-m",
            ]);
            ours.push(seconds(bench.arg(path))?);
        }
        let (a, b) = (median(ours), median(theirs));
        println!("loaded, one token computed: ours {a:.2} s, llama.cpp {b:.2} s");
        Ok(a <= b)
    }
}

/// The JSON that a command prints.
fn json_of(command: &mut Command) -> Result<Value> {
    let output = command.stderr(std::process::Stdio::null()).output();
    let output = output.with_context(|| format!("starting `{}`", repo::shown(command)))?;
    serde_json::from_slice(&output.stdout).with_context(|| format!("`{}` printed no report", repo::shown(command)))
}

fn seconds(command: &mut Command) -> Result<f64> {
    let begin = Instant::now();
    repo::demand(command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()))?;
    Ok(begin.elapsed().as_secs_f64())
}
