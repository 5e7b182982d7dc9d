//! Files of JSON lines that people read, too.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use inkstone_recipe::StageError;
use inkstone_recipe::fs::IoError;
use serde_json::Value;

/// A file of JSON lines.
pub(crate) struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Lines {
    pub(crate) fn create(path: &Path) -> Result<Self, StageError> {
        let file = File::create(path).map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    /// Writes a line and returns its length.
    pub(crate) fn write(&mut self, value: &Value) -> Result<u64, StageError> {
        let line = value.to_string() + "\n";
        self.file.write_all(line.as_bytes()).map_err(|error| failed(&self.path, error))?;
        Ok(line.len() as u64)
    }

    pub(crate) fn finish(mut self) -> Result<(), StageError> {
        self.file.flush().map_err(|error| failed(&self.path, error))
    }
}

fn failed(path: &Path, error: std::io::Error) -> StageError {
    StageError::from_error(IoError::at("write", path)(error), Some("free some space or fix the permissions"))
}
