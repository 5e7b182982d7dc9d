//! Python environments with pinned packages, below `target/peers`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::repo;

/// The Python of `target/peers/<name>`, made by `python` and filled on first use, and again when a pin changes.
pub(crate) fn environment(python: &str, name: &str, pins: &[&str]) -> Result<PathBuf> {
    let folder = repo::target().join("peers").join(name);
    let (binary, stamp) = (folder.join("bin/python"), folder.join("pinned.txt"));
    let wanted = pins.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|text| text == wanted) {
        return Ok(binary);
    }
    repo::section("installing the pinned peers", || {
        repo::demand(Command::new(python).args(["-m", "venv"]).arg(&folder))?;
        repo::demand(Command::new(&binary).args(["-m", "pip", "install", "--quiet"]).args(pins))?;
        std::fs::write(&stamp, wanted).context("noting the pins")
    })?;
    Ok(binary)
}
