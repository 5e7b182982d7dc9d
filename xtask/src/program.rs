//! The program under test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::repo;

/// The built `inkstone`.
#[derive(Debug)]
pub(crate) struct Program(pub(crate) PathBuf);

/// What is run: a recipe file, or the built-in one.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RecipeArguments {
    /// The recipe; the built-in quickstart if left out
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Passed on to `inkstone run`, e.g. `--set pretrain.steps=100`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
}

impl Program {
    /// Builds it.
    pub(crate) fn build() -> Result<Self> {
        repo::demand(&mut repo::command("cargo", &["build", "--release", "--package", "inkstone"]))?;
        Ok(Self(repo::target().join("release").join(format!("inkstone{}", std::env::consts::EXE_SUFFIX))))
    }

    /// A command in `folder`, where its `runs` will be. What it says goes to `folder/inkstone.log`.
    pub(crate) fn command(&self, folder: &Path, arguments: &[&str]) -> Result<Command> {
        std::fs::create_dir_all(folder)?;
        let log = File::options().create(true).append(true).open(folder.join("inkstone.log"))?;
        let mut command = Command::new(&self.0);
        command.args(arguments).current_dir(folder).env("NO_COLOR", "1").env_remove("INKSTONE_RUNS");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    /// The command that runs the recipe in `folder`.
    pub(crate) fn run(&self, folder: &Path, recipe: &RecipeArguments) -> Result<Command> {
        let mut command = self.command(folder, &["run"])?;
        if let Some(path) = &recipe.recipe {
            command.arg(path.canonicalize().with_context(|| format!("looking for {}", path.display()))?);
        }
        command.args(recipe.sets.iter().flat_map(|set| ["--set", set]));
        Ok(command)
    }
}

/// Runs the command in `folder` to its end.
pub(crate) fn run_to_end(command: &mut Command, folder: &Path) -> Result<()> {
    if !repo::succeeds(command)? {
        bail!("`{}` failed; its last words:\n{}", repo::shown(command), last_words(folder));
    }
    Ok(())
}

/// The end of the log in `folder`.
pub(crate) fn last_words(folder: &Path) -> String {
    let text = std::fs::read(folder.join("inkstone.log")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
