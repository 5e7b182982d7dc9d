//! One run at a time in a store.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::RecipeError;
use crate::fs::IoError;
use crate::run::RunEnvironment;

/// Holds the store until dropped (or until the process ends, however it ends).
#[derive(Debug)]
pub struct StoreLock {
    _file: File,
}

/// Takes the lock in the file `path`. With `wait`, says who holds it and waits; without, fails.
pub(crate) fn lock(path: &Path, wait: bool, environment: &RunEnvironment<'_>) -> Result<StoreLock, RecipeError> {
    let mut file = open(path)?;
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(e)) => return Err(IoError::at("lock", path)(e).into()),
            Err(TryLockError::WouldBlock) => refuse_or_say(path, wait, &mut said, environment)?,
        }
        if environment.interrupt.requested() {
            return Err(RecipeError::Busy { path: store(path), holder: holder(path) });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    sign(&mut file, &environment.command).map_err(IoError::at("write", path))?;
    Ok(StoreLock { _file: file })
}

fn open(path: &Path) -> Result<File, IoError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path).map_err(IoError::at("open", path))
}

fn refuse_or_say(
    path: &Path,
    wait: bool,
    said: &mut bool,
    environment: &RunEnvironment<'_>,
) -> Result<(), RecipeError> {
    if !wait {
        return Err(RecipeError::Busy { path: store(path), holder: holder(path) });
    }
    if !std::mem::replace(said, true) {
        environment.progress.warn(&format!(
            "the store {} is in use by {}; waiting",
            store(path).display(),
            holder(path)
        ));
    }
    Ok(())
}

/// Writes who holds the lock into it, for those who wait.
fn sign(file: &mut File, command: &str) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(format!("process {} ({command})", std::process::id()).as_bytes())
}

fn holder(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|f| f.take(4096).read_to_string(&mut text));
    if read.is_err() || text.is_empty() { "another process".to_owned() } else { text }
}

/// The `runs` folder of the lock file.
fn store(path: &Path) -> PathBuf {
    path.ancestors().nth(2).unwrap_or(path).to_path_buf()
}
