//! What a run would do: which stages are cached, why the others are not, and what they will cost.

use serde::Serialize;

use crate::manifest::{ContentId, Cost, Key};
use crate::recipe::Recipe;
use crate::registry::Registry;
use crate::run::Options;
use crate::stage::{Estimate, Machine};
use crate::store::Store;
use crate::RecipeError;

/// What a run would do, stage by stage in the order of execution.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Name of the recipe.
    pub recipe: String,
    /// The stages, inputs before the stages that read them.
    pub stages: Vec<PlannedStage>,
    /// Sums over the stages that would run (`peak_bytes`: the largest).
    pub total: Estimate,
}

/// One stage of a [`Plan`].
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStage {
    /// Name in the recipe; `stage.suffix` for an implicit one.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// The kind's one line.
    pub summary: String,
    /// Whether the store has it.
    pub cached: bool,
    /// Whether a run would execute it.
    pub will_run: bool,
    /// Why it is not cached, e.g. `config changed: steps 200 → 400`; empty when cached.
    pub reasons: Vec<String>,
    /// Whether an interrupted attempt will be gone on with.
    pub resumes: bool,
    /// The key, once all inputs are made.
    pub key: Option<Key>,
    /// The cached artifact.
    pub content: Option<ContentId>,
    /// What the stage predicts.
    pub estimate: Estimate,
    /// What making the cached artifact did cost.
    pub measured: Option<Cost>,
}

/// Says what [`crate::run()`] would do. Takes no lock and writes nothing but the cache of source hashes.
pub fn plan(recipe: &Recipe, registry: &Registry, store: &Store, options: &Options, machine: &Machine) -> Result<Plan, RecipeError> {
    let _ = (recipe, registry, store, options, machine);
    todo!()
}
