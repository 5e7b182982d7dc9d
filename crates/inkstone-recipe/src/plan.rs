//! What a run would do: which stages are cached, why the others are not, and what they will cost.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use crate::RecipeError;
use crate::graph::{Graph, Selected, StageNode};
use crate::manifest::{Artifact, ContentId, Cost, Key};
use crate::recipe::Recipe;
use crate::registry::Registry;
use crate::run::Options;
use crate::stage::{Estimate, Forecast, Machine, SOURCES};
use crate::store::Store;
use crate::survey::{Finding, Surveyor};

/// What a run would do, stage by stage in the order of execution.
#[derive(Debug, Clone, Serialize)]
pub struct Plan {
    /// Name of the recipe.
    pub recipe: String,
    /// The stages, inputs before the stages that read them.
    pub stages: Vec<PlannedStage>,
    /// Sums over the stages that would run (`peak_bytes`: the largest).
    pub total: Estimate,
}

/// One stage of a [`Plan`].
#[derive(Debug, Clone, Serialize)]
pub struct PlannedStage {
    /// Name in the recipe; `stage.suffix` for an implicit one.
    pub name: String,
    /// Kind.
    pub kind: String,
    /// The kind's one line.
    pub summary: String,
    /// Whether the store has it.
    pub cached: bool,
    /// Whether a run would execute it.
    pub will_run: bool,
    /// Why it runs, e.g. `config changed: steps 200 → 400`; empty when the cache answers.
    pub reasons: Vec<String>,
    /// Whether an interrupted attempt will be gone on with.
    pub resumes: bool,
    /// The key, once all inputs are made.
    pub key: Option<Key>,
    /// The cached artifact.
    pub content: Option<ContentId>,
    /// What the stage predicts.
    pub estimate: Estimate,
    /// What making the cached artifact did cost.
    pub measured: Option<Cost>,
}

/// Measures the machine, in about half a second.
pub type Measure<'a> = &'a dyn Fn() -> Machine;

/// Says what [`crate::run()`] would do. Takes no lock and writes nothing but the cache of source hashes.
pub fn plan(
    recipe: &Recipe,
    registry: &Registry,
    store: &Store,
    options: &Options,
    machine: &Machine,
) -> Result<Plan, RecipeError> {
    plan_graph(&Graph::build(recipe, registry)?, &recipe.base, store, (options, &|| machine.clone()))
}

pub(crate) fn plan_graph(
    graph: &Graph,
    base: &Path,
    store: &Store,
    (options, measure): (&Options, Measure<'_>),
) -> Result<Plan, RecipeError> {
    let machine = LazyCell::new(measure);
    let selected = graph.select(options)?;
    let mut surveyor = Surveyor::new(graph, store, base.to_path_buf());
    let (mut done, mut forecasts, mut stages) = (Vec::new(), Vec::new(), Vec::new());
    for (node, selected) in graph.nodes.iter().zip(selected) {
        let finding = surveyor.look(done.len(), &done)?;
        let estimate = match recorded(&finding, selected) {
            Some(estimate) => estimate,
            None => node.bound.estimate(&inputs(node, &forecasts, &finding), &machine),
        };
        forecasts.push(forecast(finding.artifact.as_ref(), &estimate));
        stages.push(planned(node, selected, &finding, (estimate, store)));
        done.push(finding.artifact);
    }
    let total = total(&stages);
    Ok(Plan { recipe: graph.name.clone(), stages, total })
}

/// What was foreseen of a stage that need not run: an estimate may take seconds of measuring.
fn recorded(finding: &Finding, selected: Selected) -> Option<Estimate> {
    let artifact = finding.artifact.as_ref().filter(|_| !selected.forced)?;
    let predicted = artifact.manifest.predicted.clone();
    Some(predicted.and_then(|predicted| serde_json::from_value(predicted).ok()).unwrap_or_default())
}

fn planned(
    node: &StageNode,
    selected: Selected,
    finding: &Finding,
    (estimate, store): (Estimate, &Store),
) -> PlannedStage {
    let cached = finding.artifact.is_some();
    let mut reasons = finding.reasons.clone();
    if selected.forced {
        reasons.push("asked for with --from".to_owned());
    }
    let manifest = finding.artifact.as_ref().map(|a| &a.manifest);
    PlannedStage {
        name: node.name.clone(),
        kind: node.bound.kind().to_owned(),
        summary: node.bound.summary().to_owned(),
        cached,
        will_run: selected.wanted && (!cached || selected.forced),
        reasons,
        resumes: finding.key.as_ref().is_some_and(|k| store.partial(k).exists()),
        key: finding.key.clone(),
        content: manifest.map(|m| m.content.clone()),
        estimate,
        measured: manifest.map(|m| m.cost.clone()),
    }
}

fn inputs(node: &StageNode, forecasts: &[Forecast], finding: &Finding) -> BTreeMap<String, Forecast> {
    let known = |index: usize| forecasts.get(index).cloned().unwrap_or_default();
    let bytes: u64 = finding.sources.iter().map(|source| source.entry.bytes).sum();
    let sources = Forecast { metrics: BTreeMap::from([("bytes".to_owned(), bytes as f64)]), ..Forecast::default() };
    let own = std::iter::once((SOURCES.to_owned(), sources));
    node.edges.iter().map(|e| (e.field.clone(), known(e.index))).chain(own).collect()
}

/// What later stages may count on: measured where there is an artifact, else estimated.
fn forecast(artifact: Option<&Artifact>, estimate: &Estimate) -> Forecast {
    let Some(artifact) = artifact else {
        return Forecast { metrics: estimate.metrics.clone(), details: estimate.details.clone(), folder: None };
    };
    let numbers = artifact.manifest.metrics.iter().filter_map(|(k, v)| Some((k.clone(), v.as_f64()?)));
    Forecast { metrics: numbers.collect(), folder: Some(artifact.folder.clone()), ..Forecast::default() }
}

fn total(stages: &[PlannedStage]) -> Estimate {
    let running = || stages.iter().filter(|s| s.will_run).map(|s| &s.estimate);
    let add = |get: fn(&Estimate) -> Option<f64>| running().filter_map(get).reduce(|a, b| a + b);
    let count = |get: fn(&Estimate) -> Option<u64>| running().filter_map(get).reduce(u64::saturating_add);
    Estimate {
        tokens: count(|e| e.tokens),
        flops: add(|e| e.flops),
        seconds: add(|e| e.seconds),
        peak_bytes: running().filter_map(|e| e.peak_bytes).max(),
        bytes: count(|e| e.bytes),
        ..Estimate::default()
    }
}
