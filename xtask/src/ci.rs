//! `cargo xtask ci`: what every change must pass.

use anyhow::{Result, bail};

use crate::repo::{command, section, succeeds};
use crate::{Verdict, readme};

/// The test command, as the README gives it.
const TEST: &str = "cargo test --release --workspace";

/// Everything in the release profile: the tensor library is compiled once for program and tests, and once without code
/// generation for lints and documentation.
const STEPS: [(&str, &str); 5] = [
    ("format", "cargo fmt --all --check"),
    ("clippy", "cargo clippy --release --workspace --all-targets -- -D warnings"),
    ("test", TEST),
    ("doc", "cargo doc --release --workspace --no-deps"),
    ("deny", "cargo deny check licenses bans sources"),
];

/// What to check.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these steps
    #[arg(value_parser = STEPS.map(|(name, _)| name))]
    steps: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let mut failed = Vec::new();
    for (name, line) in STEPS {
        let wanted = arguments.steps.is_empty() || arguments.steps.iter().any(|step| step == name);
        if wanted && !section(name, || step(name, line))? {
            failed.push(name);
        }
    }
    if failed.is_empty() {
        println!("\nall steps passed");
    } else {
        println!("\nfailed: {}", failed.join(", "));
    }
    Ok(failed.is_empty().into())
}

fn step(name: &str, line: &str) -> Result<bool> {
    if name == "deny" && !has_deny()? {
        println!("skipped: cargo-deny is not installed (cargo install --locked cargo-deny)");
        return Ok(true);
    }
    if name == "test" && !readme::commands()?.iter().any(|command| command == TEST) {
        bail!("README.md no longer shows `{TEST}`, the command that is tested here");
    }
    println!("$ {line}");
    let words: Vec<&str> = line.split(' ').collect();
    let mut command = command(words[0], &words[1..]);
    if name == "doc" {
        command.env("RUSTDOCFLAGS", "-D warnings");
    }
    succeeds(&mut command)
}

fn has_deny() -> Result<bool> {
    let output = command("cargo", &["deny", "--version"]).output()?;
    Ok(output.status.success())
}
