//! What a stage will be made from, as far as it is known before its inputs are made.

use std::collections::{BTreeSet, VecDeque};

use serde_json::Value;

use crate::graph::StageNode;
use crate::manifest::Artifact;

/// The stages behind one stage, in the middle of a run.
pub struct Upstream<'a> {
    pub(crate) nodes: &'a [StageNode],
    /// The artifacts that are made already, by the index of their stage.
    pub(crate) done: &'a [Option<Artifact>],
    /// The stage in question.
    pub(crate) index: usize,
}

/// A stage behind another one.
#[derive(Debug, Clone, Copy)]
pub struct Ancestor<'a> {
    /// Its name in the recipe.
    pub name: &'a str,
    /// Its resolved config.
    pub config: &'a Value,
    /// What it made, once it has run.
    pub artifact: Option<&'a Artifact>,
}

impl<'a> Upstream<'a> {
    /// The nearest stage of `kind` that the input `field` names or is made from.
    pub fn nearest(&self, field: &str, kind: &str) -> Option<Ancestor<'a>> {
        let input = self.nodes[self.index].edges.iter().find(|edge| edge.field == field)?;
        let (mut waiting, mut seen) = (VecDeque::from([input.index]), BTreeSet::new());
        while let Some(index) = waiting.pop_front() {
            let node = &self.nodes[index];
            if node.bound.kind() == kind {
                let artifact = self.done.get(index).and_then(Option::as_ref);
                return Some(Ancestor { name: &node.name, config: node.bound.config(), artifact });
            }
            waiting.extend(node.edges.iter().map(|edge| edge.index).filter(|&index| seen.insert(index)));
        }
        None
    }
}
