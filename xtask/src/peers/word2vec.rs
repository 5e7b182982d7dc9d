//! Word vectors beside the original program and gensim: whole runs on two threads, in turns, at the same settings;
//! then analogies and similarity of all vectors by one judge.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::program::Program;
use crate::{Verdict, python, repo};

/// gensim with what it computes with.
const PINS: [&str; 3] = ["gensim==4.4.0", "numpy==2.4.6", "scipy==1.17.1"];
/// The package that carries the original program's source.
const ORIGINAL: &str = "word2vec==0.11.1";
/// Times that we must be faster than a peer, and whether its quality counts: the learning rate of gensim's threads that read the file
/// themselves does not fall as it should.
const PEERS: [(&str, f64, bool); 3] = [("original", 2.0, true), ("gensim", 1.5, true), ("gensim-file", 1.5, false)];

/// What to train on and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A text of a sentence a line; the English texts of `INKSTONE_DATA` if left out
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Seeds; each of the programs trains once with each
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Python that makes the environment of the peers
    #[arg(long, default_value = "python3")]
    python: String,
}

/// What one of the programs did with one seed.
struct Outcome {
    name: &'static str,
    seconds: f64,
    analogies: f64,
    spearman: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let data = std::env::var_os("INKSTONE_DATA").map(PathBuf::from).context("INKSTONE_DATA is not set")?;
    let folder = repo::scratch("word2vec")?;
    let text = match &arguments.text {
        Some(text) => text.canonicalize().with_context(|| format!("looking for {}", text.display()))?,
        None => english(&data, &folder)?,
    };
    let python = python::environment(&arguments.python, "word2vec", &PINS)?;
    let contest = Contest { original: original(&python)?, program: Program::build()?, python, data, folder, text };
    let mut outcomes = Vec::new();
    for seed in (arguments.first_seed..).take(arguments.seeds as usize) {
        outcomes.push(contest.one("inkstone", seed)?);
        for (peer, ..) in PEERS {
            outcomes.push(contest.one(peer, seed)?);
        }
    }
    Ok(verdict(&outcomes).into())
}

/// Everything that a run needs.
struct Contest {
    program: Program,
    original: PathBuf,
    python: PathBuf,
    data: PathBuf,
    folder: PathBuf,
    text: PathBuf,
}

impl Contest {
    fn one(&self, name: &'static str, seed: u64) -> Result<Outcome> {
        let out = self.folder.join(format!("{name}.txt"));
        let seconds = match name {
            "inkstone" => seconds(self.ours(&out, seed))?,
            "original" => seconds(self.original(&out))?,
            "gensim" => self.gensim(&out, seed, "lines")?,
            _ => self.gensim(&out, seed, "file")?,
        };
        let analogies = self.judge(&out, "analogies", "--questions", &self.data.join("questions-words.txt"))?;
        let similarity = self.judge(&out, "similarity", "--pairs", &self.pairs()?)?;
        let outcome = Outcome {
            name,
            seconds,
            analogies: analogies["accuracy"].as_f64().context("no accuracy")?,
            spearman: similarity["spearman"].as_f64().context("no correlation")?,
        };
        let Outcome { analogies, spearman, .. } = outcome;
        println!(
            "seed {seed}  {name:<11} {seconds:6.2} s  analogies {:.2} %  Spearman {spearman:.4}",
            analogies * 100.0
        );
        Ok(outcome)
    }

    fn ours(&self, out: &Path, seed: u64) -> Command {
        let mut command = Command::new(&self.program.0);
        command.args(["word2vec", "train", "--format", "text", "--threads", "2", "--quiet", "--seed"]);
        command.arg(seed.to_string()).arg("--text").arg(&self.text).arg("--out").arg(out);
        command
    }

    /// Its threads meet by chance, so that no two runs are the same; it takes no seed.
    fn original(&self, out: &Path) -> Command {
        let settings =
            "-size 100 -window 5 -negative 5 -hs 0 -cbow 0 -iter 5 -threads 2 -sample 1e-3 -min-count 5 -debug 0";
        let mut command = Command::new(&self.original);
        command.args(settings.split(' ')).arg("-train").arg(&self.text).arg("-output").arg(out);
        command
    }

    /// It says itself how long it took, without the loading of its modules.
    fn gensim(&self, out: &Path, seed: u64, way: &str) -> Result<f64> {
        let script = repo::root().join("fixtures/scripts/peers/word2vec.py");
        let mut command = Command::new(&self.python);
        command.arg(script).arg(&self.text).arg(out).args([&seed.to_string(), way]);
        let said = said(&mut command)?;
        said.trim().parse().with_context(|| format!("gensim said {said:?}, not its seconds"))
    }

    /// The judgements of people that gensim carries for its own tests.
    fn pairs(&self) -> Result<PathBuf> {
        let find = "import gensim.test.utils as u; print(u.datapath('wordsim353.tsv'))";
        Ok(PathBuf::from(said(Command::new(&self.python).args(["-c", find]))?.trim()))
    }

    fn judge(&self, vectors: &Path, verb: &str, flag: &str, file: &Path) -> Result<Value> {
        let mut command = Command::new(&self.program.0);
        command.args(["word2vec", verb, "--json", "--quiet", "-m"]).arg(vectors).arg(flag).arg(file);
        serde_json::from_str(&said(&mut command)?).context("reading the judgement")
    }
}

/// What a command says on its standard output.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("starting `{}`", repo::shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", repo::shown(command), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn seconds(mut command: Command) -> Result<f64> {
    let started = Instant::now();
    said(&mut command)?;
    Ok(started.elapsed().as_secs_f64())
}

/// Builds the original program as its makefile does, with `-Ofast`. In this source the end of the file is asked
/// of the file itself, whose mark a seek takes back; reading without a lock is what later versions do.
fn original(python: &Path) -> Result<PathBuf> {
    let folder = repo::target().join("peers/word2vec-original");
    let binary = folder.join("word2vec");
    if binary.exists() {
        return Ok(binary);
    }
    std::fs::create_dir_all(&folder)?;
    let mut download = Command::new(python);
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", ORIGINAL, "--dest"]);
    repo::demand(download.arg(&folder))?;
    let archive = folder.join(format!("{}.tar.gz", ORIGINAL.replace("==", "-")));
    repo::demand(Command::new("tar").args(["--strip-components=3", "-xzf"]).arg(archive).arg("-C").arg(&folder))?;
    let flags = ["-Ofast", "-march=native", "-funroll-loops", "-pthread", "-w", "-Dfgetc=fgetc_unlocked"];
    let mut compile = Command::new("cc");
    compile.args(flags).arg(folder.join("word2vec.c")).arg("-o").arg(&binary).arg("-lm");
    repo::demand(&mut compile)?;
    Ok(binary)
}

/// The English texts in lower case, words and signs apart.
fn english(data: &Path, folder: &Path) -> Result<PathBuf> {
    const FILES: [&str; 8] = [
        "wikitext2.valid.txt",
        "wikitext2.test.txt",
        "wiki_demo.txt",
        "tiny_shakespeare.txt",
        "c4_demo.jsonl",
        "gsm8k.train.jsonl",
        "alpaca_en_demo.json",
        "sst2.train.txt",
    ];
    let mut text = String::new();
    for name in FILES {
        let path = data.join(name);
        let content = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let mut add = |lines: &str| lines.lines().for_each(|line| add_line(&mut text, line));
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("jsonl") => {
                content.lines().try_for_each(|line| {
                    let _: () = strings(&serde_json::from_str(line)?, &mut add);
                    anyhow::Ok(())
                })?;
            }
            Some("json") => strings(&serde_json::from_str(&content)?, &mut add),
            _ => add(&content),
        }
    }
    let path = folder.join("text.txt");
    std::fs::write(&path, text)?;
    Ok(path)
}

fn strings(value: &Value, add: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => add(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, add)),
        Value::Object(object) => object.values().for_each(|value| strings(value, add)),
        _ => {}
    }
}

fn add_line(text: &mut String, line: &str) {
    let before = text.len();
    for run in line.to_lowercase().split_whitespace() {
        let mut inside = false;
        for c in run.chars() {
            let of_word = c.is_alphanumeric();
            if !(of_word && inside) && text.len() > before {
                text.push(' ');
            }
            text.push(c);
            inside = of_word;
        }
    }
    if text.len() > before {
        text.push('\n');
    }
}

/// Prints the comparison and says whether we are as good and as much faster as we must be.
fn verdict(outcomes: &[Outcome]) -> bool {
    let ours = Summary::of("inkstone", outcomes);
    PEERS.iter().fold(true, |holds, &(name, factor, judged)| {
        let theirs = Summary::of(name, outcomes);
        let faster = theirs.seconds / ours.seconds;
        println!("{name}: {faster:.2} times as long (at least {factor})");
        let as_good = [("analogies", ours.analogies, theirs.analogies), ("Spearman", ours.spearman, theirs.spearman)]
            .into_iter()
            .fold(true, |good, (what, ours, theirs)| {
                println!("  {what}: ours {:.4} ± {:.4}, theirs {:.4} ± {:.4}", ours.0, ours.1, theirs.0, theirs.1);
                good && (!judged || ours.0 + ours.1 >= theirs.0 - theirs.1)
            });
        holds && faster >= factor && as_good
    })
}

/// Means with the half-width of their 95 % interval.
struct Summary {
    seconds: f64,
    analogies: (f64, f64),
    spearman: (f64, f64),
}

impl Summary {
    fn of(name: &str, outcomes: &[Outcome]) -> Self {
        let own = || outcomes.iter().filter(|outcome| outcome.name == name);
        let mean = |pick: fn(&Outcome) -> f64| {
            let values: Vec<f64> = own().map(pick).collect();
            let n = values.len() as f64;
            let mean = values.iter().sum::<f64>() / n;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
            // Student's t for five values.
            (mean, 2.776 * (variance / n).sqrt())
        };
        let fastest = own().map(|outcome| outcome.seconds).fold(f64::INFINITY, f64::min);
        Self { seconds: fastest, analogies: mean(|o| o.analogies), spearman: mean(|o| o.spearman) }
    }
}
