//! What an artifact came from, back to the sources.

use serde::Serialize;

use crate::RecipeError;
use crate::manifest::{Artifact, ContentId, Cost, FileEntry, Key, Metrics};
use crate::store::Store;

/// An artifact with everything it came from. [`std::fmt::Display`] draws the tree.
#[derive(Debug, Clone, Serialize)]
pub struct Lineage {
    /// The config field through which the artifact below reads this one; `None` at the root.
    pub field: Option<String>,
    /// What it is.
    pub content: ContentId,
    /// The rest, unless its folder is no longer in the store.
    pub made: Option<Made>,
    /// It stands with its inputs earlier in the tree; they are not repeated here.
    pub repeated: bool,
    /// The artifacts it was made from.
    pub inputs: Vec<Lineage>,
}

/// How an artifact was made.
#[derive(Debug, Clone, Serialize)]
pub struct Made {
    /// Stage name.
    pub stage: String,
    /// Stage kind.
    pub kind: String,
    /// Recipe name.
    pub recipe: String,
    /// Key.
    pub key: Key,
    /// Resolved config.
    pub config: serde_json::Value,
    /// End, RFC 3339.
    pub ended: String,
    /// What it cost.
    pub cost: Cost,
    /// Total size of its files.
    pub bytes: u64,
    /// Named results.
    pub metrics: Metrics,
    /// Files outside the store that were read.
    pub sources: Vec<FileEntry>,
}

/// The tree of everything `artifact` was made from.
pub fn lineage(artifact: &Artifact, store: &Store) -> Result<Lineage, RecipeError> {
    let _ = (artifact, store);
    todo!()
}
