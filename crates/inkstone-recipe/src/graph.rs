//! The stages of a recipe with their configs resolved, in the order of execution.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::RecipeError;
use crate::recipe::{RawStage, Recipe, no_such_stage};
use crate::registry::{Bound, Registry};
use crate::run::Options;
use crate::stage::Input;
use crate::suggest::nearest;
use crate::tree::{self, Data, Entry, Node, Place};

/// A checked recipe.
pub(crate) struct Graph {
    pub(crate) name: String,
    pub(crate) seed: u64,
    /// Inputs before the stages that read them, otherwise as in the file.
    pub(crate) nodes: Vec<StageNode>,
    /// Names of the stages that the file names, in its order.
    order: Vec<String>,
}

/// One stage.
pub(crate) struct StageNode {
    pub(crate) name: String,
    /// The stage on whose behalf an implicit one is made.
    pub(crate) owner: Option<String>,
    pub(crate) bound: Box<dyn Bound>,
    pub(crate) edges: Vec<Edge>,
    /// The table as written, for the places of its fields.
    table: Node,
}

/// One input of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Edge {
    pub(crate) field: String,
    /// The full name of the stage that is read.
    pub(crate) stage: String,
    /// Its position in the graph.
    pub(crate) index: usize,
}

impl Graph {
    /// Checks a recipe against the kinds.
    pub(crate) fn build(recipe: &Recipe, registry: &Registry) -> Result<Self, RecipeError> {
        let mut nodes = Vec::new();
        for raw in &recipe.stages {
            add_stage(&mut nodes, raw, registry)?;
        }
        let nodes = sort(link(nodes)?)?;
        let order = recipe.stages.iter().map(|s| s.name.clone()).collect();
        Ok(Self { name: recipe.name.clone(), seed: recipe.seed, nodes, order })
    }

    /// The resolved recipe.
    pub(crate) fn to_toml(&self) -> String {
        let mut text = format!("name = {}\nseed = {}\n", tree::inline(&Value::from(self.name.as_str())), self.seed);
        for node in self.order.iter().filter_map(|name| self.nodes.iter().find(|n| n.name == *name)) {
            let mut table = serde_json::Map::from_iter([("kind".to_owned(), Value::from(node.bound.kind()))]);
            if let Value::Object(config) = node.bound.config() {
                table.extend(config.clone());
            }
            tree::write_table(&mut text, &node.name, &table);
        }
        text
    }

    /// Which stages `options` asks for, and which of those to run even when cached.
    pub(crate) fn select(&self, options: &Options) -> Result<Vec<Selected>, RecipeError> {
        let names: Vec<&str> = self.nodes.iter().map(|n| n.name.as_str()).collect();
        let known = |option, name: &String| {
            let found = names.contains(&name.as_str());
            if found { Ok(()) } else { Err(no_such_stage(option, &self.name, name, &names)) }
        };
        options.only.iter().try_for_each(|name| known("--only", name))?;
        options.from.iter().try_for_each(|name| known("--from", name))?;
        let mut selected: Vec<Selected> = Vec::new();
        for node in &self.nodes {
            let forced = options.from.as_ref() == Some(&node.name)
                || node.edges.iter().any(|e| selected.get(e.index).is_some_and(|s| s.forced));
            selected.push(Selected { wanted: options.only.is_empty() || self.is_named(node, &options.only), forced });
        }
        Ok(selected)
    }

    /// Whether `names` holds the stage or one on whose behalf it is made.
    fn is_named(&self, node: &StageNode, names: &[String]) -> bool {
        let owner = node.owner.as_ref().and_then(|o| self.nodes.iter().find(|n| n.name == *o));
        names.contains(&node.name) || owner.is_some_and(|o| self.is_named(o, names))
    }
}

/// What `--only` and `--from` mean for one stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selected {
    pub(crate) wanted: bool,
    pub(crate) forced: bool,
}

impl StageNode {
    /// The fields of the config that name stages: inputs, and top-level fields that hand an input
    /// on to an implicit stage. Each with the full name of the stage.
    pub(crate) fn naming_fields(&self, nodes: &[Self]) -> Vec<(String, String)> {
        let own = self.edges.iter().map(|e| (e.field.clone(), e.stage.clone()));
        let mut fields: Vec<_> = own.filter(|(f, s)| text_at(self.bound.config(), f) == Some(s.as_str())).collect();
        let prefix = format!("{}.", self.name);
        let implicit = nodes.iter().filter(|n| n.name.starts_with(&prefix));
        let handed_on: Vec<&str> = implicit.flat_map(|n| &n.edges).map(|e| e.stage.as_str()).collect();
        for (field, value) in self.bound.config().as_object().into_iter().flatten() {
            let name = value.as_str().filter(|s| handed_on.contains(s));
            if let Some(name) = name.filter(|_| fields.iter().all(|(f, _)| f != field)) {
                fields.push((field.clone(), name.to_owned()));
            }
        }
        fields
    }

    /// The config with `value_of(field, stage)` in place of stage names: what counts towards the key.
    pub(crate) fn nameless_config(&self, nodes: &[Self], value_of: &dyn Fn(&str, &str) -> Value) -> Value {
        let mut config = self.bound.config().clone();
        for (field, stage) in self.naming_fields(nodes) {
            if let Some(slot) = config.pointer_mut(&pointer(&field)) {
                *slot = value_of(&field, &stage);
            }
        }
        config
    }
}

fn text_at<'a>(config: &'a Value, field: &str) -> Option<&'a str> {
    config.pointer(&pointer(field))?.as_str()
}

fn pointer(field: &str) -> String {
    format!("/{}", field.replace('.', "/"))
}

fn add_stage(nodes: &mut Vec<StageNode>, raw: &RawStage, registry: &Registry) -> Result<(), RecipeError> {
    let Some((kind, place)) = &raw.kind else {
        let known = registry.kinds().map(|(k, _)| k.to_owned()).collect();
        return Err(RecipeError::MissingKind { place: raw.table.place.clone(), stage: raw.name.clone(), known });
    };
    let bound = registry.bind(&raw.name, (kind, place), &raw.table)?;
    add_node(nodes, Named { name: raw.name.clone(), owner: None }, (bound, &raw.table), registry)
}

struct Named {
    name: String,
    owner: Option<String>,
}

/// Adds a stage and, before it, those it asks for.
fn add_node(
    nodes: &mut Vec<StageNode>,
    named: Named,
    (bound, table): (Box<dyn Bound>, &Node),
    registry: &Registry,
) -> Result<(), RecipeError> {
    let Named { name, owner } = named;
    // Kinds that ask for one another would never end.
    if name.split('.').count() > 8 {
        let message = "its implicit stages are nested too deeply".to_owned();
        return Err(RecipeError::Invalid { place: table.place.clone(), owner: format!("stage `{name}`"), message });
    }
    for implicit in bound.implicit() {
        let config = Node::from_json(&implicit.config, &table.place);
        let full = format!("{name}.{}", implicit.suffix);
        let bound = registry.bind(&full, (implicit.kind, &table.place), &config)?;
        add_node(nodes, Named { name: full, owner: Some(name.clone()) }, (bound, &config), registry)?;
    }
    nodes.push(StageNode { name, owner, bound, edges: Vec::new(), table: table.clone() });
    Ok(())
}

/// Finds the stages that inputs name.
fn link(mut nodes: Vec<StageNode>) -> Result<Vec<StageNode>, RecipeError> {
    let kinds: BTreeMap<String, (usize, &'static str)> =
        nodes.iter().enumerate().map(|(i, n)| (n.name.clone(), (i, n.bound.kind()))).collect();
    // Those that the recipe names first: what is wrong in them is wrong in their implicit ones too.
    let (written, implicit): (Vec<usize>, Vec<usize>) = (0..nodes.len()).partition(|&i| nodes[i].owner.is_none());
    for index in written.into_iter().chain(implicit) {
        let inputs = nodes[index].bound.inputs();
        let edges = inputs.iter().map(|input| edge(&nodes[index], input, &kinds));
        let edges = edges.collect::<Result<_, _>>().map_err(|error| as_written(error, &nodes[index], &nodes))?;
        nodes[index].edges = edges;
    }
    Ok(nodes)
}

/// An error in an implicit stage, told of the field of the recipe that handed the input on.
fn as_written(mut error: RecipeError, node: &StageNode, nodes: &[StageNode]) -> RecipeError {
    let (RecipeError::NoSuchInput { place, stage, field, wanted: name, .. }
    | RecipeError::WrongKind { place, stage, field, input: name, .. }) = &mut error
    else {
        return error;
    };
    let mut owner = node.owner.as_ref();
    while let Some(above) = owner.and_then(|o| nodes.iter().find(|n| n.name == *o)) {
        let entries = if let Data::Table(entries) = &above.table.data { entries.as_slice() } else { &[] };
        let hands_on = |e: &&Entry| matches!(&e.node.data, Data::Text(text) if text == name);
        if let Some(entry) = entries.iter().find(hands_on) {
            (*place, *stage, *field) = (entry.node.place.clone(), above.name.clone(), entry.key.clone());
        }
        owner = above.owner.as_ref();
    }
    error
}

fn edge(node: &StageNode, input: &Input, kinds: &BTreeMap<String, (usize, &'static str)>) -> Result<Edge, RecipeError> {
    let implicit = input.stage.starts_with('.');
    let name = if implicit { format!("{}{}", node.name, input.stage) } else { input.stage.clone() };
    let place: Place = node.table.at(input.field).unwrap_or(&node.table).place.clone();
    let (stage, field) = (node.name.clone(), input.field.to_owned());
    let Some(&(index, got)) = kinds.get(&name) else {
        let suitable = kinds.iter().filter(|(n, k)| input.kinds.contains(&k.1) && !n.contains('.'));
        let suitable: Vec<&str> = suitable.map(|(n, _)| n.as_str()).collect();
        let only = if suitable.len() == 1 { suitable.first().map(|s| (*s).to_owned()) } else { None };
        let suggestion = nearest(&name, kinds.keys().map(String::as_str)).or(only);
        return Err(RecipeError::NoSuchInput { place, stage, field, wanted: name, suggestion });
    };
    if !input.kinds.contains(&got) {
        let expected = input.kinds.iter().map(|k| (*k).to_owned()).collect();
        return Err(RecipeError::WrongKind { place, stage, field, input: name, expected, got: got.to_owned() });
    }
    Ok(Edge { field, stage: name, index })
}

/// Orders the stages depth first, in the order of the file.
fn sort(nodes: Vec<StageNode>) -> Result<Vec<StageNode>, RecipeError> {
    let mut walk = Walk { nodes: &nodes, order: Vec::new(), path: Vec::new() };
    for index in 0..nodes.len() {
        walk.visit(index)?;
    }
    let order = walk.order;
    let mut position = vec![0; nodes.len()];
    for (new, &old) in order.iter().enumerate() {
        position[old] = new;
    }
    let mut nodes: Vec<(usize, StageNode)> = position.iter().copied().zip(nodes).collect();
    nodes.sort_by_key(|(new, _)| *new);
    let mut nodes: Vec<StageNode> = nodes.into_iter().map(|(_, node)| node).collect();
    nodes.iter_mut().flat_map(|n| &mut n.edges).for_each(|e| e.index = position[e.index]);
    Ok(nodes)
}

struct Walk<'a> {
    nodes: &'a [StageNode],
    order: Vec<usize>,
    path: Vec<usize>,
}

impl Walk<'_> {
    fn visit(&mut self, index: usize) -> Result<(), RecipeError> {
        if self.order.contains(&index) {
            return Ok(());
        }
        if let Some(start) = self.path.iter().position(|&i| i == index) {
            return Err(self.cycle(start, index));
        }
        self.path.push(index);
        for edge in &self.nodes[index].edges {
            self.visit(edge.index)?;
        }
        self.path.pop();
        self.order.push(index);
        Ok(())
    }

    fn cycle(&self, start: usize, last: usize) -> RecipeError {
        let round = self.path[start..].iter().chain([&last]);
        let path = round.map(|&i| self.nodes[i].name.clone()).collect();
        RecipeError::Cycle { place: self.nodes[last].table.place.clone(), path }
    }
}
