//! `cargo xtask fresh`: a clone, nothing but the Rust toolchain, and the commands of the README.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{Verdict, readme, repo};

/// What survives of the environment: where the toolchain and its downloads are.
const KEPT: [&str; 4] = ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];

/// Where to clone from.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The repository
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Leave the clone where it is
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<Verdict> {
    let folder = std::env::temp_dir().join(format!("inkstone-fresh-{}", std::process::id()));
    let from = arguments.from.clone().unwrap_or_else(|| repo::root().to_string_lossy().into_owned());
    repo::demand(Command::new("git").args(["clone", "--quiet", "--no-hardlinks", &from]).arg(&folder))?;
    let verdict = both(&folder);
    if arguments.keep {
        println!("kept: {}", folder.display());
    } else {
        std::fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    verdict
}

fn both(folder: &Path) -> Result<Verdict> {
    let commands = readme::commands_of(folder)?;
    let Some(commands) = commands.first_chunk::<2>() else {
        bail!("README.md shows fewer than two cargo commands");
    };
    let mut holds = true;
    for command in commands {
        holds &= repo::section(command, || repo::succeeds(&mut bare(command, folder)?))?;
    }
    Ok(holds.into())
}

/// The command with next to no environment.
fn bare(line: &str, folder: &Path) -> Result<Command> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).current_dir(folder).env_clear().env("PATH", path()?);
    for name in KEPT {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    Ok(command)
}

/// Cargo's folder and the system's.
fn path() -> Result<String> {
    let cargo = std::env::var_os("CARGO").map(PathBuf::from).context("this is run through cargo")?;
    let folder = cargo.parent().unwrap_or(Path::new("/usr/bin"));
    Ok(format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()))
}
