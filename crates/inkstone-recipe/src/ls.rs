//! All artifacts of a store.

use serde::Serialize;

use crate::RecipeError;
use crate::manifest::{ContentId, Metrics};
use crate::store::Store;

/// One artifact of a store.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What it is.
    pub content: ContentId,
    /// Kind of its stage.
    pub kind: String,
    /// Stage that made it first.
    pub stage: String,
    /// Recipe that made it first.
    pub recipe: String,
    /// Total size of its files.
    pub bytes: u64,
    /// When it was finished, RFC 3339.
    pub ended: String,
    /// Named results.
    pub metrics: Metrics,
    /// The links below `runs/` that lead to it, e.g. `quickstart/model`; none: `gc` may take it.
    pub links: Vec<String>,
}

/// All readable artifacts of `store`, oldest first.
pub fn list(store: &Store) -> Result<Vec<Listed>, RecipeError> {
    let _ = store;
    todo!()
}
