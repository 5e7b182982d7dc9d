//! What a training keeps of itself, so that a kill costs little and changes nothing.
//!
//! `tensors-N.safetensors` holds the large numbers; `state.json`, renamed into place after it, everything else, with the name
//! and the hash of that file. What does not fit together is named and passed over: the training begins anew.

use std::path::{Path, PathBuf};

use inkstone_formats::safetensors::{TensorFile, TensorView, write_tensors};
use inkstone_recipe::fs;
use inkstone_recipe::hash::hash_file;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Result;

const STATE: &str = "state.json";
/// Largest state that is read.
const MOST: u64 = 1 << 30;

/// The checkpoint of one training.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Written<S> {
    file: String,
    blake3: String,
    state: S,
}

impl Checkpoint {
    /// In a folder that survives a kill.
    pub(crate) fn new(state: &Path) -> Self {
        Self { folder: state.join("checkpoint") }
    }

    /// Puts the state of a training that has come to `at` in the place of the one before.
    pub(crate) fn save(&self, at: u64, state: &impl Serialize, tensors: &[(String, TensorView<'_>)]) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        let file = format!("tensors-{at}.safetensors");
        let path = self.folder.join(&file);
        write_tensors(&path, tensors, &[])?;
        let (blake3, _) = hash_file(&path)?;
        let written = Written { file: file.clone(), blake3, state };
        let bytes = serde_json::to_vec(&written).expect("invariant: plain data");
        fs::write_atomic(&self.folder.join(STATE), &bytes)?;
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name() != STATE && entry.file_name() != file.as_str() {
                fs::remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The state and tensors that were saved; `warn` hears why there are none although there should be.
    pub(crate) fn load<S: DeserializeOwned>(&self, warn: &mut dyn FnMut(&str)) -> Option<(S, TensorFile)> {
        if !self.folder.join(STATE).exists() {
            return None;
        }
        self.read().map_err(|what| warn(&format!("{}: {what}; starting anew", self.folder.display()))).ok()
    }

    fn read<S: DeserializeOwned>(&self) -> Result<(S, TensorFile), String> {
        let bytes = fs::read(&self.folder.join(STATE), MOST).map_err(|error| error.to_string())?;
        let written: Written<S> = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let path = self.folder.join(&written.file);
        let (got, _) = hash_file(&path).map_err(|error| error.to_string())?;
        if got != written.blake3 {
            return Err(format!("{} does not match its hash", written.file));
        }
        Ok((written.state, TensorFile::open(&path).map_err(|error| error.to_string())?))
    }
}
