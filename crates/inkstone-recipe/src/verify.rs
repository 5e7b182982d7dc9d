//! Makes an artifact again, with all it came from, and compares the bytes.

use serde::Serialize;

use crate::RecipeError;
use crate::manifest::{Artifact, ContentId};
use crate::registry::Registry;
use crate::run::RunEnvironment;
use crate::store::Store;

/// What came of [`verify`], sources first.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// One entry for each artifact of the lineage; the last is the one that was asked about.
    pub stages: Vec<VerifiedStage>,
}

impl VerifyReport {
    /// Whether every stage gave the same bytes again.
    pub fn all_same(&self) -> bool {
        self.stages.iter().all(|s| matches!(s.outcome, Outcome::Same))
    }
}

/// One re-executed stage.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedStage {
    /// Stage name.
    pub stage: String,
    /// Stage kind.
    pub kind: String,
    /// The recorded content.
    pub content: ContentId,
    /// The numeric path it was made with.
    pub numeric_path: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took now.
    pub seconds: f64,
}

/// What came of making an artifact again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Every file has the same bytes.
    Same,
    /// Some files differ.
    Different {
        /// Which, and how.
        files: Vec<FileDifference>,
    },
    /// It could not be made again.
    CouldNot {
        /// Why.
        reason: String,
    },
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    /// Path relative to the artifact.
    pub path: String,
    /// `other bytes`, `missing now`, `new`.
    pub how: String,
}

/// Re-executes every stage of `artifact`'s lineage in `runs/.store/verify-<pid>`, which is removed
/// afterwards, and compares file by file with what the manifests record.
pub fn verify(artifact: &Artifact, store: &Store, registry: &Registry, environment: &RunEnvironment<'_>) -> Result<VerifyReport, RecipeError> {
    let _ = (artifact, store, registry, environment);
    todo!()
}
