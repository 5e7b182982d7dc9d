//! `cargo xtask peers classic`: n-gram models against KenLM.
//!
//! Runs alternate, ours and theirs, and medians are compared: estimation of a 5-gram model, queries, size, and equal scores of our
//! ARPA file in KenLM. With `--large` a text larger than the memory that is allowed is counted.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::kenlm::Kenlm;
use super::measure::{Measured, measure, median};
use crate::draws::Draws;
use crate::program::Program;
use crate::{Verdict, repo};

/// What to compare on.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A text, one sentence a line; a generated one if left out
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Runs of each program
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Count this many MB of generated text in half of that memory, and do nothing else
    #[arg(long, value_name = "MB")]
    large: Option<u64>,
    /// Write the fixtures of `fixtures/ngram` anew, and do nothing else
    #[arg(long)]
    fixtures: bool,
    /// Python that makes the environments
    #[arg(long, default_value = "python3")]
    python: String,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let kenlm = Kenlm::build(&arguments.python)?;
    if arguments.fixtures {
        let script = repo::root().join("fixtures/scripts/ngram_fixture.py");
        return repo::succeeds(Command::new(&arguments.python).arg(script).arg(kenlm.folder())).map(Verdict::from);
    }
    let program = Program::build()?;
    let folder = repo::scratch("peers-classic")?;
    if let Some(megabytes) = arguments.large {
        return large(&program, &folder, megabytes);
    }
    let text = match &arguments.text {
        Some(text) => without_marks(text, &folder.join("text.txt"))?,
        None => generated(&folder.join("text.txt"), 4, 30_000)?,
    };
    let trial = Trial { kenlm: &kenlm, program: &program, folder: &folder, text: &text, runs: arguments.runs };
    let estimation = repo::section("estimating a 5-gram model", || trial.estimate())?;
    let equal = repo::section("our model in KenLM", || trial.equal_scores())?;
    let queries = repo::section("queries and size", || trial.queries())?;
    Ok((estimation && equal && queries).into())
}

/// One text, two programs.
struct Trial<'a> {
    kenlm: &'a Kenlm,
    program: &'a Program,
    folder: &'a Path,
    text: &'a Path,
    runs: usize,
}

impl Trial<'_> {
    fn ours(&self, arguments: &[&str]) -> Result<Measured> {
        let mut command = Command::new(&self.program.0);
        measure(command.args(["--no-progress", "ngram"]).args(arguments).current_dir(self.folder))
    }

    fn theirs(&self, name: &str, arguments: &[&str]) -> Result<Measured> {
        measure(self.kenlm.program(name).args(arguments).current_dir(self.folder))
    }

    /// Whether we are as fast as `lmplz` and take no more memory. By itself it would take four fifths of the machine's; with a
    /// gigabyte it is as fast.
    fn estimate(&self) -> Result<bool> {
        let text = self.text.to_string_lossy();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..self.runs {
            theirs.push(self.theirs("lmplz", &["-o", "5", "-S", "1G", "--text", &text, "--arpa", "kenlm.arpa"])?);
            ours.push(self.ours(&["train", "--order", "5", "--text", &text, "--out", "ours.arpa"])?);
        }
        let seconds = |runs: &[Measured]| median(runs.iter().map(|run| run.seconds));
        let peak = |runs: &[Measured]| median(runs.iter().map(|run| run.peak_bytes as f64)) / 1e6;
        let (a, b) = (seconds(&ours), seconds(&theirs));
        println!("seconds: ours {a:.3}, lmplz {b:.3}: {:.2} times as fast", b / a);
        println!("peak MB: ours {:.0}, lmplz {:.0}", peak(&ours), peak(&theirs));
        Ok(a <= b && peak(&ours) <= peak(&theirs))
    }

    /// Whether KenLM gives our ARPA file the scores of its own.
    fn equal_scores(&self) -> Result<bool> {
        let score = |model: &str| -> Result<Vec<f64>> {
            let mut query = self.kenlm.program("query");
            query.args(["-v", "sentence", model]).current_dir(self.folder).stdin(File::open(self.text)?);
            let output = query.stderr(std::process::Stdio::null()).output().context("starting `query`")?;
            let text = String::from_utf8(output.stdout)?;
            Ok(text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse().ok()).collect())
        };
        let (ours, theirs) = (score("ours.arpa")?, score("kenlm.arpa")?);
        let words = std::fs::read_to_string(self.text)?
            .lines()
            .map(|line| line.split_whitespace().count() + 1)
            .collect::<Vec<_>>();
        let differences = ours.iter().zip(&theirs).zip(&words).map(|((a, b), &n)| (a - b).abs() / n as f64);
        let largest = differences.fold(0.0, f64::max);
        println!("{} sentences, largest difference {largest:.1e} a word", ours.len());
        Ok(!ours.is_empty() && ours.len() == theirs.len() && largest < 1e-6)
    }

    /// Whether we answer as many queries a second as KenLM's probing structure, in no more bytes than its trie.
    fn queries(&self) -> Result<bool> {
        self.theirs("build_binary", &["probing", "kenlm.arpa", "kenlm.probing"])?;
        self.ours(&["build", "-m", "ours.arpa", "--out", "ours.probing", "--structure", "probing"])?;
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let (mut text_ours, mut text_theirs) = (Vec::new(), Vec::new());
        let ids = self.folder.join("ids");
        benchmark(self.kenlm, "-v", self.folder, self.text, &ids)?;
        for _ in 0..self.runs {
            theirs.push(queries_per_second(&benchmark(
                self.kenlm,
                "-q",
                self.folder,
                &ids,
                &self.folder.join("speed"),
            )?)?);
            let text = self.text.to_string_lossy();
            let run: Value =
                serde_json::from_str(&self.ours(&["eval", "-m", "ours.probing", "--text", &text, "--json"])?.stdout)?;
            ours.push(run["queries_per_second"].as_f64().unwrap_or(0.0));
            text_ours.push(run["tokens_per_second"].as_f64().unwrap_or(0.0));
            text_theirs.push(self.text_queries()?);
        }
        let (a, b) = (median(ours), median(theirs));
        println!(
            "queries/s on ids, one thread: ours {:.2} M, KenLM probing {:.2} M: {:.2} times",
            a / 1e6,
            b / 1e6,
            a / b
        );
        let (c, d) = (median(text_ours), median(text_theirs));
        println!("words/s from text: ours {:.2} M, KenLM `query` {:.2} M (loading included)", c / 1e6, d / 1e6);
        Ok(self.sizes()? && a >= b)
    }

    /// Words a second of KenLM's `query` from text.
    fn text_queries(&self) -> Result<f64> {
        let mut query = self.kenlm.program("query");
        query.args(["-v", "summary", "kenlm.probing"]).current_dir(self.folder).stdin(File::open(self.text)?);
        let start = std::time::Instant::now();
        let output = query.stderr(std::process::Stdio::null()).output().context("starting `query`")?;
        let seconds = start.elapsed().as_secs_f64();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let tokens = text.lines().find_map(|line| line.strip_prefix("Tokens:")?.trim().parse::<f64>().ok());
        Ok(tokens.context("`query` names no number of tokens")? / seconds)
    }

    fn sizes(&self) -> Result<bool> {
        let mut holds = true;
        for (name, theirs, bits) in [
            ("plain", vec!["trie"], "32"),
            ("pointers compressed", vec!["-a", "22", "trie"], "32"),
            ("8 bits", vec!["-q", "8", "-b", "8", "trie"], "8"),
            ("8 bits, pointers compressed", vec!["-a", "22", "-q", "8", "-b", "8", "trie"], "8"),
        ] {
            self.theirs("build_binary", &[&theirs[..], &["kenlm.arpa", "kenlm.trie"]].concat())?;
            self.ours(&["build", "-m", "ours.arpa", "--out", "ours.trie", "--bits", bits])?;
            let size = |name: &str| std::fs::metadata(self.folder.join(name)).map(|file| file.len() as f64);
            let ngrams = ngrams(&self.folder.join("kenlm.arpa"))?;
            let (a, b) = (size("ours.trie")? / ngrams, size("kenlm.trie")? / ngrams);
            println!("bytes an n-gram, {name}: ours {a:.2}, KenLM {b:.2}");
            holds &= a <= b;
        }
        Ok(holds)
    }
}

/// KenLM's own benchmark: `-v` turns a text into ids, `-q` scores them.
fn benchmark(kenlm: &Kenlm, verb: &str, folder: &Path, from: &Path, to: &Path) -> Result<String> {
    let mut command = kenlm.program("kenlm_benchmark");
    command.args([verb, "-m"]).arg(folder.join("kenlm.probing")).args(["-t", "1", "-b", "262144"]);
    repo::demand(command.stdin(File::open(from)?).stdout(File::create(to)?).stderr(std::process::Stdio::null()))?;
    Ok(if verb == "-q" { std::fs::read_to_string(to)? } else { String::new() })
}

fn queries_per_second(text: &str) -> Result<f64> {
    let line = text.lines().find(|line| line.starts_with("Queries per second excluding load"));
    let figure = line.and_then(|line| line.split("Wall:").nth(1)?.split_whitespace().next()?.parse().ok());
    figure.context("KenLM's benchmark names no speed")
}

/// How many n-grams the head of an ARPA file announces.
fn ngrams(path: &Path) -> Result<f64> {
    let head = std::io::Read::take(File::open(path)?, 4096);
    let head = String::from_utf8_lossy(&std::io::read_to_string(head).unwrap_or_default().into_bytes()).into_owned();
    Ok(head.lines().filter_map(|line| line.strip_prefix("ngram ")?.split_once('=')?.1.parse::<f64>().ok()).sum())
}

/// The text without literal `<unk>`, `<s>` and `</s>`, at which `lmplz` stops.
fn without_marks(text: &Path, to: &Path) -> Result<PathBuf> {
    let text = std::fs::read_to_string(text).with_context(|| format!("reading {}", text.display()))?;
    let keep = |word: &&str| !["<unk>", "<s>", "</s>"].contains(word);
    let lines = text.lines().map(|line| line.split_whitespace().filter(keep).collect::<Vec<_>>().join(" ") + "\n");
    std::fs::write(to, lines.collect::<String>())?;
    Ok(to.to_owned())
}

/// Megabytes of sentences of words by Zipf's law, in which the last two words choose among a few next ones three times in four.
fn generated(to: &Path, megabytes: u64, vocabulary: usize) -> Result<PathBuf> {
    let mut out = BufWriter::new(File::create(to)?);
    let (mut draws, mut written) = (Draws(1), 0);
    let (mut before, mut last) = (0, 0);
    while written < megabytes * 1_000_000 {
        let fresh = (vocabulary as f64).powf(draws.unit()) as usize;
        let usual = Draws((before * 7919 + last * 31 + draws.below(8)) as u64).below(vocabulary).isqrt() * 3;
        (before, last) = (last, if draws.below(4) > 0 { usual } else { fresh });
        let end = if draws.below(20) == 0 { '\n' } else { ' ' };
        let word = format!("w{last}{end}");
        written += word.len() as u64;
        out.write_all(word.as_bytes())?;
    }
    out.flush()?;
    Ok(to.to_owned())
}

/// Counts a large text in half of its size of memory.
fn large(program: &Program, folder: &Path, megabytes: u64) -> Result<Verdict> {
    let text = repo::section(&format!("writing {megabytes} MB of text"), || {
        generated(&folder.join("text.txt"), megabytes, 1_000_000)
    })?;
    let limit = megabytes * 512 / 1000;
    let memory = format!("{}", limit * 1_000_000);
    let mut command = Command::new(&program.0);
    command.args([
        "--no-progress",
        "ngram",
        "train",
        "--order",
        "5",
        "--memory",
        &memory,
        "--out",
        "large.arpa",
        "--text",
    ]);
    let measured = repo::section("counting it", || measure(command.arg(&text).current_dir(folder)))?;
    let peak = measured.peak_bytes / 1_000_000;
    println!("{:.0} s, peak {peak} MB, allowed {limit} MB", measured.seconds);
    std::fs::remove_dir_all(folder).with_context(|| format!("removing {}", folder.display()))?;
    Ok((peak <= limit).into())
}
