//! The artifact store: content-addressed folders below `runs/.store`.

use std::path::{Path, PathBuf};

use crate::RecipeError;
use crate::manifest::{Artifact, Key};

/// The artifact store of one `runs` folder.
#[derive(Debug, Clone)]
pub struct Store {
    runs: PathBuf,
}

impl Store {
    /// Opens the store of the folder `runs`, which is made if need be.
    pub fn open(runs: &Path) -> Result<Self, RecipeError> {
        Ok(Self { runs: runs.to_path_buf() })
    }

    /// The store that `artifact` lies in, where it lies in one.
    pub fn around(artifact: &Artifact) -> Option<Self> {
        let _ = artifact;
        todo!()
    }

    /// The folder `runs`.
    pub fn runs(&self) -> &Path {
        &self.runs
    }

    /// The artifact made for `key`, if it is there and whole at a cheap look (manifest readable,
    /// files present with the right size).
    pub fn get(&self, key: &Key) -> Result<Option<Artifact>, RecipeError> {
        let _ = key;
        todo!()
    }

    /// The artifact that `reference` means: a path (a folder or a link), `recipe/stage`, or the
    /// beginning of a content id.
    pub fn find(&self, reference: &str) -> Result<Artifact, RecipeError> {
        let _ = reference;
        todo!()
    }
}
