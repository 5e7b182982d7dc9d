//! Runs a recipe: each stage is answered from the cache or executed, and linked below `runs/`.

use crate::RecipeError;
use crate::manifest::Artifact;
use crate::progress::{Interrupt, Progress};
use crate::recipe::Recipe;
use crate::registry::Registry;
use crate::stage::Machine;
use crate::store::Store;

/// What to run and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run only these stages (and their implicit ones); their inputs must be cached. Empty: all.
    pub only: Vec<String>,
    /// Run this stage and all that depend on it, even when cached.
    pub from: Option<String>,
    /// Wait for another run in the same store to end; otherwise fail at once.
    pub wait: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: Vec::new(), from: None, wait: true }
    }
}

/// What a run takes from the program around it.
pub struct RunEnvironment<'a> {
    /// Version of the program, for the manifests.
    pub program: String,
    /// The command line, shown to whoever waits for the store.
    pub command: String,
    /// The instruction set that computes, e.g. `x86_64 avx512f f32`.
    pub numeric_path: String,
    /// The measured machine; without it no prediction is stored.
    pub machine: Option<Machine>,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
    /// The user's wish to stop.
    pub interrupt: &'a Interrupt,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Name of the recipe.
    pub recipe: String,
    /// `runs/<recipe>`.
    pub folder: std::path::PathBuf,
    /// The stages that were asked for, in the order of execution.
    pub stages: Vec<StageReport>,
}

/// What a run did about one stage.
#[derive(Debug, Clone)]
pub struct StageReport {
    /// Name in the recipe.
    pub name: String,
    /// The link `runs/<recipe>/<stage>`.
    pub link: std::path::PathBuf,
    /// What was found or made.
    pub artifact: Artifact,
    /// Whether it was there before.
    pub cached: bool,
    /// Why it was not cached; empty when it was.
    pub reasons: Vec<String>,
}

/// Runs `recipe`. Each finished stage stays finished whatever happens after it.
pub fn run(
    recipe: &Recipe,
    registry: &Registry,
    store: &Store,
    options: &Options,
    environment: &RunEnvironment<'_>,
) -> Result<RunReport, RecipeError> {
    let _ = (recipe, registry, store, options, environment);
    todo!()
}
