//! Removes what no run links to.

use serde::Serialize;

use crate::RecipeError;
use crate::manifest::ContentId;
use crate::run::RunEnvironment;
use crate::store::Store;

/// What [`gc`] removed, or would remove.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GcReport {
    /// Artifacts, as (content, stage, bytes).
    pub removed: Vec<RemovedArtifact>,
    /// Left-overs of interrupted stages and verifications, in number.
    pub partials: usize,
    /// Bytes freed in all.
    pub bytes: u64,
    /// Artifacts that stay.
    pub kept: usize,
}

/// An artifact that is gone.
#[derive(Debug, Clone, Serialize)]
pub struct RemovedArtifact {
    /// What it was.
    pub content: ContentId,
    /// The stage that made it, where its manifest was readable.
    pub stage: String,
    /// Its size.
    pub bytes: u64,
}

/// Removes artifacts that no `runs/*/*` link reaches, directly or as an input, and stale partial
/// work. `dry_run` only reports.
pub fn gc(store: &Store, dry_run: bool, environment: &RunEnvironment<'_>) -> Result<GcReport, RecipeError> {
    let _ = (store, dry_run, environment);
    todo!()
}
