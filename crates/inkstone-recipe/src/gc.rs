//! Removes what no run links to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::RecipeError;
use crate::artifact::walk;
use crate::attempt::last_write;
use crate::fs;
use crate::manifest::{ArtifactId, ContentId};
use crate::run::RunEnvironment;
use crate::store::{Store, names};

/// What [`gc`] removed, or would remove.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GcReport {
    /// Artifacts.
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

/// Partial work that nobody went on with for this long is stale.
const STALE: Duration = Duration::from_hours(7 * 24);

/// Removes artifacts that no `runs/*/*` link reaches, directly or as an input, and stale partial
/// work: what is older than a week, or belongs to an artifact that is finished. `dry_run` only
/// reports. A linked artifact whose manifest cannot be read stops it, since its inputs are unknown.
pub fn gc(store: &Store, dry_run: bool, environment: &RunEnvironment<'_>) -> Result<GcReport, RecipeError> {
    let _lock = store.lock(false, environment)?;
    let kept = reachable(store)?;
    let mut report = GcReport { kept: kept.len(), ..GcReport::default() };
    for id in store.artifacts()?.into_iter().filter(|id| !kept.contains(id)) {
        let stage = store.artifact(&id).ok().flatten().map_or_else(String::new, |a| a.manifest.stage);
        let bytes = size(&store.object(&id))?;
        if !dry_run {
            store.discard(&id)?;
        }
        report.bytes += bytes;
        report.removed.push(RemovedArtifact { content: id.content(), stage, bytes });
    }
    for folder in leftovers(store)? {
        report.partials += 1;
        report.bytes += size(&folder)?;
        if !dry_run {
            fs::remove_dir_all(&folder)?;
        }
    }
    if !dry_run {
        drop_dangling_keys(store)?;
    }
    Ok(report)
}

/// Everything that a link leads to, with what it was made from.
fn reachable(store: &Store) -> Result<BTreeSet<ArtifactId>, RecipeError> {
    let mut kept = BTreeSet::new();
    let mut open: Vec<ArtifactId> = store.links()?.into_iter().map(|(_, id)| id).collect();
    while let Some(id) = open.pop() {
        if !kept.contains(&id)
            && let Some(artifact) = store.artifact(&id)?
        {
            open.extend(artifact.manifest.inputs.into_values());
            kept.insert(id);
        }
    }
    Ok(kept)
}

/// Folders of partial work that nobody will go on with, and of verifications that were killed.
fn leftovers(store: &Store) -> Result<Vec<PathBuf>, RecipeError> {
    let partial = store.inner("partial");
    let mut folders = Vec::new();
    for key in names(&partial)? {
        let folder = partial.join(&key);
        let finished = store.made_for(&key).is_some_and(|id| store.object(&id).exists());
        if finished || is_old(&folder) {
            folders.push(folder);
        }
    }
    let inner = store.inner("");
    let verifications = names(&inner)?.into_iter().filter(|n| n.strip_prefix("verify-").is_some_and(is_dead));
    folders.extend(verifications.map(|n| inner.join(n)));
    Ok(folders)
}

fn is_old(folder: &Path) -> bool {
    let age = last_write(folder).and_then(|t| SystemTime::now().duration_since(t).ok());
    age.is_some_and(|age| age > STALE)
}

/// Whether the process is known to have ended.
fn is_dead(process: &str) -> bool {
    let proc = Path::new("/proc");
    proc.join("self").exists() && !proc.join(process).exists()
}

fn drop_dangling_keys(store: &Store) -> Result<(), RecipeError> {
    for key in names(&store.inner("keys"))? {
        let dangling = store.made_for(&key).is_none_or(|id| !store.object(&id).exists());
        if dangling {
            fs::remove_file(&store.inner("keys").join(&key))?;
        }
    }
    Ok(())
}

/// Bytes of all files below `folder`.
fn size(folder: &Path) -> Result<u64, RecipeError> {
    let mut bytes = 0;
    walk(folder, &mut |path, kind| {
        if kind.is_file() {
            bytes += std::fs::metadata(path).map_or(0, |m| m.len());
        }
        Ok(())
    })?;
    Ok(bytes)
}
