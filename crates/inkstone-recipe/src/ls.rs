//! All artifacts of a store.

use serde::Serialize;

use crate::RecipeError;
use crate::manifest::{Artifact, ArtifactId, ContentId, Metrics};
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
    let links = store.links()?;
    let mut listed = Vec::new();
    for id in store.artifacts()? {
        if let Ok(Some(artifact)) = store.artifact(&id) {
            listed.push(entry(&artifact, &links));
        }
    }
    listed.sort_by(|a, b| (&a.ended, &a.content).cmp(&(&b.ended, &b.content)));
    Ok(listed)
}

fn entry(artifact: &Artifact, links: &[(String, ArtifactId)]) -> Listed {
    let m = &artifact.manifest;
    Listed {
        content: m.content.clone(),
        kind: m.kind.clone(),
        stage: m.stage.clone(),
        recipe: m.recipe.clone(),
        bytes: artifact.bytes(),
        ended: m.ended.clone(),
        metrics: m.metrics.clone(),
        links: links.iter().filter(|(_, id)| *id == m.id()).map(|(name, _)| name.clone()).collect(),
    }
}
