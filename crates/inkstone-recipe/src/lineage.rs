//! What an artifact came from, back to the sources.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use crate::RecipeError;
use crate::manifest::{Artifact, ArtifactId, ContentId, Cost, FileEntry, Key, Metrics};
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
    pub inputs: Vec<Self>,
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
    grow(None, artifact, &mut Growth { store, seen: BTreeSet::new() })
}

/// The artifacts `artifact` was made from and itself, inputs first, each once. One that is no longer
/// in the store is left out.
pub(crate) fn ancestors(artifact: &Artifact, store: &Store) -> Result<Vec<Artifact>, RecipeError> {
    let mut list = Vec::new();
    collect(artifact, store, (&mut BTreeSet::new(), &mut list))?;
    Ok(list)
}

fn collect(
    artifact: &Artifact,
    store: &Store,
    (seen, list): (&mut BTreeSet<ArtifactId>, &mut Vec<Artifact>),
) -> Result<(), RecipeError> {
    if !seen.insert(artifact.manifest.id()) {
        return Ok(());
    }
    for id in artifact.manifest.inputs.values() {
        if let Some(input) = store.artifact(id)? {
            collect(&input, store, (seen, list))?;
        }
    }
    list.push(artifact.clone());
    Ok(())
}

struct Growth<'a> {
    store: &'a Store,
    seen: BTreeSet<ArtifactId>,
}

fn grow(field: Option<&String>, artifact: &Artifact, growth: &mut Growth<'_>) -> Result<Lineage, RecipeError> {
    let content = artifact.manifest.content.clone();
    let repeated = !growth.seen.insert(artifact.manifest.id());
    let mut inputs = Vec::new();
    for (name, id) in artifact.manifest.inputs.iter().filter(|_| !repeated) {
        inputs.push(match growth.store.artifact(id)? {
            Some(input) => grow(Some(name), &input, growth)?,
            None => gone(name, id.content()),
        });
    }
    Ok(Lineage { field: field.cloned(), content, made: Some(made(artifact)), repeated, inputs })
}

fn gone(field: &str, content: ContentId) -> Lineage {
    let field = Some(field.to_owned());
    Lineage { field, content, made: None, repeated: false, inputs: Vec::new() }
}

fn made(artifact: &Artifact) -> Made {
    let m = &artifact.manifest;
    Made {
        stage: m.stage.clone(),
        kind: m.kind.clone(),
        recipe: m.recipe.clone(),
        key: m.key.clone(),
        config: m.config.clone(),
        ended: m.ended.clone(),
        cost: m.cost.clone(),
        bytes: artifact.bytes(),
        metrics: m.metrics.clone(),
        sources: m.sources.clone(),
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.below(f, "")
    }
}

impl Lineage {
    /// The line of this artifact.
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        match &self.made {
            None => writeln!(f, "{} (no longer in the store)", self.content.short()),
            Some(_) if self.repeated => writeln!(f, "{} (see above)", self.content.short()),
            Some(m) => {
                let (short, seconds) = (self.content.short(), m.cost.seconds);
                writeln!(f, "{} ({}) {short}, {}, {seconds:.1} s", m.stage, m.kind, m.ended)
            }
        }
    }

    /// What it was made from.
    fn below(&self, f: &mut fmt::Formatter<'_>, indent: &str) -> fmt::Result {
        const SHOWN: usize = 10;
        let sources: &[FileEntry] = match &self.made {
            Some(made) if !self.repeated => &made.sources,
            _ => &[],
        };
        for source in sources.iter().take(SHOWN) {
            let hash = source.blake3.get(..12).unwrap_or(&source.blake3);
            writeln!(f, "{indent}   {} ({} bytes, {hash})", source.path, source.bytes)?;
        }
        if sources.len() > SHOWN {
            writeln!(f, "{indent}   and {} more files", sources.len() - SHOWN)?;
        }
        for (i, input) in self.inputs.iter().enumerate() {
            let last = i + 1 == self.inputs.len();
            write!(f, "{indent}{}", if last { "└─ " } else { "├─ " })?;
            input.head(f)?;
            input.below(f, &format!("{indent}{}", if last { "   " } else { "│  " }))?;
        }
        Ok(())
    }
}
