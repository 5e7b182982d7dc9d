//! The commands that the README shows.

use std::path::Path;

use anyhow::{Context, Result};

use crate::repo;

/// The `cargo` commands of the code blocks of this repository's README.
pub(crate) fn commands() -> Result<Vec<String>> {
    commands_of(repo::root())
}

/// The `cargo` commands of the code blocks of `folder/README.md`, in order, without prompt and comment.
pub(crate) fn commands_of(folder: &Path) -> Result<Vec<String>> {
    let path = folder.join("README.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    Ok(cargo_lines(&text))
}

fn cargo_lines(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            let line = line.strip_prefix("$ ").unwrap_or(line);
            let command = line.split(" #").next().unwrap_or_default().trim();
            commands.extend(command.starts_with("cargo ").then(|| command.to_owned()));
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::cargo_lines;

    #[test]
    fn only_cargo_commands_of_code_blocks_count() {
        let text = "cargo build\n```console\n$ cargo run -- run    # everything\noutput\ncargo test --workspace\n```\n`cargo doc`";
        assert_eq!(cargo_lines(text), ["cargo run -- run", "cargo test --workspace"]);
    }
}
