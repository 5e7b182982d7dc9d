//! Looks at one stage: its key, what the store has for it, and why it must run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;

use crate::RecipeError;
use crate::diff::{Change, changes, entries, shown};
use crate::graph::{Graph, StageNode};
use crate::hash::{Source, SourceCache};
use crate::key::Ingredients;
use crate::manifest::{Artifact, ArtifactId, ContentId, FileEntry, Key, Manifest};
use crate::store::{Lookup, Store};

/// Looks at the stages of a graph one after the other.
pub(crate) struct Surveyor<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) store: &'a Store,
    pub(crate) base: PathBuf,
    pub(crate) sources: SourceCache,
}

/// What there is to know about a stage.
#[derive(Default)]
pub(crate) struct Finding {
    /// Unless an input is not made yet.
    pub(crate) key: Option<Key>,
    pub(crate) artifact: Option<Artifact>,
    /// An object that is there but not whole.
    pub(crate) damaged: Option<ArtifactId>,
    /// Why the stage must run; empty where it is cached.
    pub(crate) reasons: Vec<String>,
    pub(crate) sources: Vec<Source>,
}

impl<'a> Surveyor<'a> {
    pub(crate) fn new(graph: &'a Graph, store: &'a Store, base: PathBuf) -> Self {
        Self { graph, store, base, sources: SourceCache::open(store.inner("sources.json")) }
    }

    /// Looks at stage `index`, given the artifacts of those before it.
    pub(crate) fn look(&mut self, index: usize, done: &[Option<Artifact>]) -> Result<Finding, RecipeError> {
        let node = &self.graph.nodes[index];
        let sources = self.hash_sources(node)?;
        let entries: Vec<FileEntry> = sources.iter().map(|s| s.entry.clone()).collect();
        let inputs = known_inputs(node, done);
        let mut finding = Finding { sources, ..Finding::default() };
        if inputs.len() == node.edges.len() {
            let key = self.key(node, &inputs, &entries);
            self.look_up(&key, &mut finding)?;
            finding.key = Some(key);
        }
        if finding.artifact.is_none() && finding.damaged.is_none() {
            finding.reasons = self.reasons(node, &inputs, &entries);
        }
        Ok(finding)
    }

    fn hash_sources(&mut self, node: &StageNode) -> Result<Vec<Source>, RecipeError> {
        let failed = |source| RecipeError::Stage { stage: node.name.clone(), source };
        let paths = node.bound.sources(&self.base).map_err(failed)?;
        let sources = self.sources.hash(&paths, &self.base)?;
        self.sources.save()?;
        Ok(sources)
    }

    fn key(&self, node: &StageNode, inputs: &BTreeMap<String, ContentId>, sources: &[FileEntry]) -> Key {
        let config = node.nameless_config(&self.graph.nodes, &|field, stage| {
            let theirs = || content_for(node, stage, inputs);
            inputs.get(field).cloned().or_else(theirs).map_or(Value::Null, |c| Value::from(c.0))
        });
        let (kind, version) = (node.bound.kind(), node.bound.version());
        Ingredients { kind, version, config, inputs, seed: self.graph.seed, sources }.key()
    }

    fn look_up(&self, key: &Key, finding: &mut Finding) -> Result<(), RecipeError> {
        match self.store.look_up(key)? {
            Lookup::Found(artifact) => finding.artifact = Some(*artifact),
            Lookup::Missing => {}
            Lookup::Damaged(id, message) => {
                finding.reasons.push(format!("the cached artifact is damaged: {message}"));
                finding.damaged = Some(id);
            }
        }
        Ok(())
    }

    /// Compares with what the stage's link points to.
    fn reasons(&self, node: &StageNode, inputs: &BTreeMap<String, ContentId>, sources: &[FileEntry]) -> Vec<String> {
        let previous = Artifact::open(&self.store.link(&self.graph.name, &node.name));
        let mut reasons = match previous {
            Ok(previous) => self.changed(node, inputs, sources, &previous.manifest),
            Err(_) => vec!["never run".to_owned()],
        };
        let missing = node.edges.iter().filter(|e| !inputs.contains_key(&e.field));
        reasons.extend(missing.map(|e| format!("input {} not made yet", e.field)));
        if reasons.is_empty() {
            reasons.push("no longer in the store".to_owned());
        }
        reasons
    }

    fn changed(
        &self,
        node: &StageNode,
        inputs: &BTreeMap<String, ContentId>,
        sources: &[FileEntry],
        previous: &Manifest,
    ) -> Vec<String> {
        let bound = &node.bound;
        if bound.kind() != previous.kind {
            return vec![format!("kind changed: {} → {}", previous.kind, bound.kind())];
        }
        let mut reasons = Vec::new();
        if bound.version() != previous.stage_version {
            reasons.push(format!("algorithm version {} → {}", previous.stage_version, bound.version()));
        }
        reasons.extend(self.changed_config(node, &previous.config));
        if self.graph.seed != previous.seed {
            reasons.push(format!("seed {} → {}", previous.seed, self.graph.seed));
        }
        let other = inputs
            .iter()
            .filter(|(field, now)| previous.inputs.get(*field).map(ArtifactId::content).as_ref() != Some(now));
        reasons.extend(other.map(|(field, _)| format!("input {field} changed")));
        reasons.extend(changed_sources(&previous.sources, sources));
        reasons
    }

    fn changed_config(&self, node: &StageNode, previous: &Value) -> Option<String> {
        let naming = node.naming_fields(&self.graph.nodes);
        let mut found = changes(previous, node.bound.config());
        found.retain(|c| naming.iter().all(|(field, _)| *field != c.key));
        let list: Vec<String> = found.iter().map(|c| format!("{} {} → {}", c.key, shown(&c.a), shown(&c.b))).collect();
        if list.is_empty() { None } else { Some(format!("config changed: {}", list.join(", "))) }
    }
}

/// The content of an input by the name of its stage. One that only an implicit stage reads counts
/// through the content of that stage.
fn content_for(node: &StageNode, stage: &str, inputs: &BTreeMap<String, ContentId>) -> Option<ContentId> {
    let edge = node.edges.iter().find(|e| e.stage == stage)?;
    inputs.get(&edge.field).cloned()
}

fn known_inputs(node: &StageNode, done: &[Option<Artifact>]) -> BTreeMap<String, ContentId> {
    let content = |index: usize| done.get(index)?.as_ref().map(|a| a.manifest.content.clone());
    node.edges.iter().filter_map(|e| Some((e.field.clone(), content(e.index)?))).collect()
}

/// The first few sources that differ.
fn changed_sources(before: &[FileEntry], now: &[FileEntry]) -> Vec<String> {
    const SHOWN: usize = 3;
    let describe = |c: &Change| match (&c.a, &c.b) {
        (Value::Null, _) => format!("source {} is new", c.key),
        (_, Value::Null) => format!("source {} is gone", c.key),
        _ => format!("source {} changed", c.key),
    };
    let found = changes(&entries(before), &entries(now));
    let mut lines: Vec<String> = found.iter().take(SHOWN).map(describe).collect();
    if found.len() > SHOWN {
        lines.push(format!("{} more sources differ", found.len() - SHOWN));
    }
    lines
}
