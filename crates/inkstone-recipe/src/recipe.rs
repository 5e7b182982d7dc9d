//! The recipe file: TOML text and `--set` layers, each value with the place it came from.

use std::path::{Path, PathBuf};

use crate::RecipeError;
use crate::registry::Registry;

/// A recipe as written, not yet checked against the stage kinds.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// `name`: the folder below `runs`.
    pub name: String,
    /// `seed`, 0 by default.
    pub seed: u64,
    /// The folder against which relative source paths are resolved (absolute).
    pub base: PathBuf,
}

impl Recipe {
    /// Reads a recipe file and lays `sets` (`stage.key=value`) over it.
    pub fn load(path: &Path, sets: &[String]) -> Result<Self, RecipeError> {
        let _ = (path, sets);
        todo!()
    }

    /// A recipe that comes with the program; error messages call it `built-in <name>`. Relative
    /// paths are resolved against the current folder.
    pub fn builtin(name: &str, text: &str, sets: &[String]) -> Result<Self, RecipeError> {
        let _ = (name, text, sets);
        todo!()
    }

    /// The recipe with every default filled in, as TOML. Running it gives the same keys.
    pub fn resolved_toml(&self, registry: &Registry) -> Result<String, RecipeError> {
        let _ = registry;
        todo!()
    }

    /// Checks the whole recipe and returns its stages in the order of execution, as (name, kind).
    pub fn check(&self, registry: &Registry) -> Result<Vec<(String, String)>, RecipeError> {
        let _ = registry;
        todo!()
    }
}
