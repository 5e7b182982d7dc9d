//! `cargo xtask memory`: texts larger than memory are read in little memory.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::draws::Draws;
use crate::program::{Program, last_words};
use crate::{Verdict, repo, runs};

const RECIPE: &str = r#"name = "memory"
seed = 1

[corpus]
kind = "corpus"
paths = ["texts/*.txt"]
document = "paragraph"

[tokenizer]
kind = "tokenizer"
from = "corpus"
algorithm = "bpe"
vocab_size = 8192

[tokens]
kind = "tokens"
corpus = "corpus"
tokenizer = "tokenizer"
"#;

/// How much text, and how much memory.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Size of the generated text, in MB
    #[arg(long, default_value_t = 2_000)]
    size: u64,
    /// The most memory that may be resident, in MB
    #[arg(long, default_value_t = 1_000)]
    limit: u64,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let program = Program::build()?;
    let folder = repo::scratch("memory")?;
    let peak = measure(&program, &folder, arguments.size);
    std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    let peak = peak?;
    println!("\npeak resident memory: {} MB; limit: {} MB", peak / 1_000_000, arguments.limit);
    Ok((peak <= arguments.limit * 1_000_000).into())
}

/// Peak resident memory in bytes.
fn measure(program: &Program, folder: &Path, megabytes: u64) -> Result<u64> {
    std::fs::create_dir(folder.join("texts"))?;
    std::fs::write(folder.join("memory.toml"), RECIPE)?;
    repo::section(&format!("writing {megabytes} MB of text"), || {
        write_text(&folder.join("texts/generated.txt"), megabytes * 1_000_000)
    })?;
    let peak = repo::section("corpus, tokenizer, tokens", || {
        watch(&mut program.command(folder, &["run", "memory.toml"])?.spawn()?, folder)
    })?;
    for made in runs::stages(folder)? {
        println!("{:12} {:>8.1} s", made.stage, made.seconds);
    }
    Ok(peak)
}

/// Waits for the process and returns the highest mark of its resident memory.
fn watch(child: &mut Child, folder: &Path) -> Result<u64> {
    let mut peak = 0;
    loop {
        peak = high_water(child.id()).unwrap_or(0).max(peak);
        match child.try_wait()? {
            None => std::thread::sleep(Duration::from_millis(5)),
            Some(status) if status.success() && peak > 0 => return Ok(peak),
            Some(_) if peak == 0 => bail!("this system has no /proc/PID/status with VmHWM"),
            Some(_) => bail!("the run failed; its last words:\n{}", last_words(folder)),
        }
    }
}

/// `VmHWM` of a process, in bytes.
fn high_water(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// Paragraphs of made-up words in two scripts, frequent words more often; one paragraph in twenty is a repetition.
fn write_text(path: &Path, bytes: u64) -> Result<()> {
    let mut draws = Draws(1);
    let words: Vec<String> = (0..50_000).map(|number| word(&mut draws, number % 4 == 0)).collect();
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut written, mut earlier) = (0, Vec::<String>::new());
    while written < bytes {
        let text = if earlier.len() == 1000 && draws.below(20) == 0 {
            earlier[draws.below(1000)].clone()
        } else {
            paragraph(&mut draws, &words)
        };
        out.write_all(text.as_bytes())?;
        written += text.len() as u64;
        if earlier.len() < 1000 {
            earlier.push(text);
        }
    }
    out.flush().context("writing the text")
}

fn word(draws: &mut Draws, chinese: bool) -> String {
    if chinese {
        return (0..=draws.below(3)).filter_map(|_| char::from_u32(0x4e00 + draws.below(4000) as u32)).collect();
    }
    let syllable = |draws: &mut Draws| {
        let (consonant, vowel) = (b"bcdfghklmnprstvw"[draws.below(16)], b"aeiou"[draws.below(5)]);
        [char::from(consonant), char::from(vowel)]
    };
    (0..=draws.below(4)).flat_map(|_| syllable(draws)).chain([' ']).collect()
}

fn paragraph(draws: &mut Draws, words: &[String]) -> String {
    let mut text = String::new();
    for _ in 0..2 + draws.below(4) {
        for _ in 0..8 + draws.below(12) {
            let rank = draws.unit() * draws.unit() * draws.unit();
            text.push_str(&words[(rank * words.len() as f64) as usize]);
        }
        text.push_str(".\n");
    }
    text.push('\n');
    text
}
