//! Where a model's weights come from: drawn, or read.

use std::collections::BTreeSet;

use inkstone_formats::hf::ModelFolder;

use crate::ModelError;
use crate::init::normal;

/// A source of weights by name; an architecture is built the same way from any.
pub(crate) trait Weights {
    /// The values of a matrix whose initial standard deviation is `std`.
    fn matrix(&mut self, name: &str, shape: [usize; 2], std: f64) -> Result<Vec<f32>, ModelError>;
    /// The values of a norm's weight, initially 1.
    fn ones(&mut self, name: &str, width: usize) -> Result<Vec<f32>, ModelError>;
}

/// Drawn weights; each depends on the seed and its own name only.
pub(crate) struct Drawn {
    pub(crate) seed: u64,
}

impl Weights for Drawn {
    fn matrix(&mut self, name: &str, shape: [usize; 2], std: f64) -> Result<Vec<f32>, ModelError> {
        Ok(normal(self.seed, name, shape.iter().product(), std))
    }

    fn ones(&mut self, _name: &str, width: usize) -> Result<Vec<f32>, ModelError> {
        Ok(vec![1.0; width])
    }
}

/// Weights of a Hugging Face folder. Missing ones are noted, so that all of them are named at once.
pub(crate) struct Read<'a> {
    folder: &'a ModelFolder,
    unread: BTreeSet<String>,
    missing: Vec<String>,
}

impl<'a> Read<'a> {
    pub(crate) fn new(folder: &'a ModelFolder) -> Self {
        Self { folder, unread: folder.names().map(str::to_owned).collect(), missing: Vec::new() }
    }

    /// Complains of names that one side has and the other has not. `ignored` may be there unread.
    pub(crate) fn finish(mut self, ignored: &[&str]) -> Result<(), ModelError> {
        self.unread.retain(|name| !ignored.contains(&name.as_str()) && !name.ends_with("rotary_emb.inv_freq"));
        if self.missing.is_empty() && self.unread.is_empty() {
            return Ok(());
        }
        let unexpected = self.unread.into_iter().collect();
        Err(ModelError::Names { path: self.folder.path().to_owned(), missing: self.missing, unexpected })
    }

    fn take(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, ModelError> {
        if !self.unread.remove(name) {
            self.missing.push(name.to_owned());
            return Ok(vec![0.0; shape.iter().product()]);
        }
        let got = self.folder.tensor(name)?.shape.to_vec();
        if got != shape {
            let path = self.folder.path().to_owned();
            return Err(ModelError::Shape { path, tensor: name.to_owned(), got, expected: shape.to_vec() });
        }
        Ok(self.folder.f32(name)?)
    }
}

impl Weights for Read<'_> {
    fn matrix(&mut self, name: &str, shape: [usize; 2], _std: f64) -> Result<Vec<f32>, ModelError> {
        self.take(name, &shape)
    }

    fn ones(&mut self, name: &str, width: usize) -> Result<Vec<f32>, ModelError> {
        self.take(name, &[width])
    }
}
