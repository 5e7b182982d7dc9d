//! Runs a recipe: each stage is answered from the cache or executed, and linked below `runs/`.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::RecipeError;
use crate::attempt::{Job, execute};
use crate::fs;
use crate::graph::{Edge, Graph, Selected, StageNode};
use crate::manifest::Artifact;
use crate::plan;
use crate::plan::Measure;
use crate::progress::{Interrupt, Progress};
use crate::recipe::Recipe;
use crate::registry::Registry;
use crate::store::Store;
use crate::survey::{Finding, Surveyor};
use crate::upstream::Upstream;

/// What to run and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run only these stages (and their implicit ones); their inputs must be cached. Empty: all.
    pub only: Vec<String>,
    /// Run this stage and all that depend on it, even when cached.
    pub from: Option<String>,
    /// Wait for another run in the same store to end; otherwise fail at once.
    pub wait: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { only: Vec::new(), from: None, wait: true }
    }
}

/// What a run takes from the program around it.
pub struct RunEnvironment<'a> {
    /// Version of the program, for the manifests.
    pub program: String,
    /// The command line, shown to whoever waits for the store.
    pub command: String,
    /// The instruction set that computes, e.g. `x86_64 avx512f f32`.
    pub numeric_path: String,
    /// Measures the machine, once and only if a stage has to be made; without it no prediction is stored.
    pub measure: Option<Measure<'a>>,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
    /// The user's wish to stop.
    pub interrupt: &'a Interrupt,
}

/// What a run did.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Name of the recipe.
    pub recipe: String,
    /// `runs/<recipe>`.
    pub folder: std::path::PathBuf,
    /// The stages that were asked for, in the order of execution.
    pub stages: Vec<StageReport>,
}

/// What a run did about one stage.
#[derive(Debug, Clone)]
pub struct StageReport {
    /// Name in the recipe.
    pub name: String,
    /// The link `runs/<recipe>/<stage>`.
    pub link: std::path::PathBuf,
    /// What was found or made.
    pub artifact: Artifact,
    /// Whether it was there before.
    pub cached: bool,
    /// Why it was not cached; empty when it was.
    pub reasons: Vec<String>,
}

/// Runs `recipe`. Each finished stage stays finished whatever happens after it.
pub fn run(
    recipe: &Recipe,
    registry: &Registry,
    store: &Store,
    options: &Options,
    environment: &RunEnvironment<'_>,
) -> Result<RunReport, RecipeError> {
    let graph = Graph::build(recipe, registry)?;
    let selected = graph.select(options)?;
    let _lock = store.lock(options.wait, environment)?;
    let predicted = predict(&graph, recipe, store, (options, environment))?;
    let surveyor = Surveyor::new(&graph, store, recipe.base.clone());
    let recipe_toml = graph.to_toml();
    let executed = BTreeMap::new();
    let mut runner = Runner { graph: &graph, selected, surveyor, environment, predicted, recipe_toml, executed };
    // A damaged input is made anew, and then everything is looked at again.
    for _ in 0..=graph.nodes.len() {
        if let Some(stages) = runner.round()? {
            return Ok(RunReport { recipe: graph.name.clone(), folder: store.runs().join(&graph.name), stages });
        }
    }
    let message = "artifacts are damaged again as soon as they are made; check the disk".to_owned();
    Err(RecipeError::Corrupt { path: store.runs().to_path_buf(), message })
}

/// The estimates of the plan, by stage.
fn predict(
    graph: &Graph,
    recipe: &Recipe,
    store: &Store,
    (options, environment): (&Options, &RunEnvironment<'_>),
) -> Result<BTreeMap<String, Value>, RecipeError> {
    let Some(measure) = environment.measure else {
        return Ok(BTreeMap::new());
    };
    let plan = plan::plan_graph(graph, &recipe.base, store, (options, measure))?;
    let json = |estimate| serde_json::to_value(estimate).unwrap_or_default();
    Ok(plan.stages.into_iter().map(|s| (s.name, json(s.estimate))).collect())
}

struct Runner<'a> {
    graph: &'a Graph,
    selected: Vec<Selected>,
    surveyor: Surveyor<'a>,
    environment: &'a RunEnvironment<'a>,
    predicted: BTreeMap<String, Value>,
    recipe_toml: String,
    /// Why the stages that this run has executed had to run.
    executed: BTreeMap<usize, Vec<String>>,
}

impl Runner<'_> {
    /// Goes through all stages once. `None`: an input turned out to be damaged and was discarded.
    fn round(&mut self) -> Result<Option<Vec<StageReport>>, RecipeError> {
        let mut done: Vec<Option<Artifact>> = Vec::new();
        let mut reports = Vec::new();
        for index in 0..self.graph.nodes.len() {
            let finding = self.surveyor.look(index, &done)?;
            if !self.selected[index].wanted {
                done.push(finding.artifact);
                continue;
            }
            let Some(report) = self.stage(index, finding, &done)? else {
                return Ok(None);
            };
            done.push(Some(report.artifact.clone()));
            reports.push(report);
        }
        Ok(Some(reports))
    }

    /// Answers one stage from the cache or executes it.
    fn stage(
        &mut self,
        index: usize,
        mut finding: Finding,
        done: &[Option<Artifact>],
    ) -> Result<Option<StageReport>, RecipeError> {
        let node = &self.graph.nodes[index];
        let forced = self.selected[index].forced && !self.executed.contains_key(&index);
        let artifact = match finding.artifact.take() {
            Some(artifact) if !forced => {
                self.announce(index, if self.executed.contains_key(&index) { "done" } else { "cached" });
                self.clean_up(&finding)?;
                artifact
            }
            earlier => {
                if forced {
                    finding.reasons.push("asked for with --from".to_owned());
                }
                let Some(artifact) = self.make(index, &finding, done)? else {
                    return Ok(None);
                };
                self.compare(&node.name, earlier.as_ref(), &artifact);
                self.executed.insert(index, finding.reasons);
                artifact
            }
        };
        let link = self.surveyor.store.set_link(&self.graph.name, &node.name, &artifact.manifest.id())?;
        let reasons = self.executed.get(&index).cloned();
        let (cached, reasons) = (reasons.is_none(), reasons.unwrap_or_default());
        Ok(Some(StageReport { name: node.name.clone(), link, artifact, cached, reasons }))
    }

    fn make(
        &self,
        index: usize,
        finding: &Finding,
        done: &[Option<Artifact>],
    ) -> Result<Option<Artifact>, RecipeError> {
        let node = &self.graph.nodes[index];
        let inputs = inputs(node, done)?;
        if self.environment.interrupt.requested() {
            return Err(RecipeError::Interrupted { stage: node.name.clone() });
        }
        self.announce(index, &finding.reasons.join("; "));
        if self.discard_damaged(finding, &inputs)? {
            return Ok(None);
        }
        let Some(key) = finding.key.clone() else {
            return Err(RecipeError::InputNotCached { stage: node.name.clone(), input: "an input".to_owned() });
        };
        self.foresee(index, done)?;
        let job = Job {
            stage: &node.name,
            recipe: &self.graph.name,
            recipe_toml: &self.recipe_toml,
            bound: node.bound.as_ref(),
            inputs,
            sources: &finding.sources,
            base: self.surveyor.base.clone(),
            seed: self.graph.seed,
            key,
            predicted: self.predicted.get(&node.name).cloned(),
        };
        execute(&job, self.surveyor.store, self.environment).map(Some)
    }

    /// Asks this stage and all after it whether they can already tell that they will fail.
    fn foresee(&self, index: usize, done: &[Option<Artifact>]) -> Result<(), RecipeError> {
        let nodes = &self.graph.nodes;
        for (index, node) in nodes.iter().enumerate().skip(index).filter(|(index, _)| self.selected[*index].wanted) {
            let failed = |source| RecipeError::Stage { stage: node.name.clone(), source };
            node.bound.foresee(&Upstream { nodes, done, index }).map_err(failed)?;
        }
        Ok(())
    }

    /// Takes damaged artifacts out of the store; says whether an input was among them. Inputs are
    /// read whole: work on damaged bytes would be lost.
    fn discard_damaged(&self, finding: &Finding, inputs: &BTreeMap<String, Artifact>) -> Result<bool, RecipeError> {
        let store = self.surveyor.store;
        if let Some(id) = &finding.damaged {
            store.discard(id)?;
        }
        let mut found = false;
        for input in inputs.values() {
            if let Err(error @ RecipeError::Corrupt { .. }) = input.check() {
                self.environment.progress.warn(&format!("{error}; stage `{}` is made anew", input.manifest.stage));
                store.discard(&input.manifest.id())?;
                found = true;
            }
        }
        Ok(found)
    }

    /// A process killed between the last two steps of a stage leaves its work folder behind.
    fn clean_up(&self, finding: &Finding) -> Result<(), RecipeError> {
        let folder = finding.key.as_ref().map(|key| self.surveyor.store.partial(key));
        Ok(folder.map_or(Ok(()), |folder| fs::remove_dir_all(&folder))?)
    }

    fn announce(&self, index: usize, what: &str) {
        let number = self.selected[..=index].iter().filter(|s| s.wanted).count();
        let total = self.selected.iter().filter(|s| s.wanted).count();
        let node = &self.graph.nodes[index];
        self.environment.progress.say(&format!("[{number}/{total}] {} ({}): {what}", node.name, node.bound.kind()));
    }

    fn compare(&self, stage: &str, earlier: Option<&Artifact>, now: &Artifact) {
        if earlier.is_some_and(|e| e.manifest.content != now.manifest.content) {
            let text = format!("stage `{stage}` gave other bytes than before from the same inputs and config");
            self.environment.progress.warn(&text);
        }
    }
}

fn inputs(node: &StageNode, done: &[Option<Artifact>]) -> Result<BTreeMap<String, Artifact>, RecipeError> {
    let input = |edge: &Edge| {
        let artifact = done.get(edge.index).and_then(Option::as_ref);
        let missing = || RecipeError::InputNotCached { stage: node.name.clone(), input: edge.stage.clone() };
        Ok((edge.field.clone(), artifact.cloned().ok_or_else(missing)?))
    };
    node.edges.iter().map(input).collect()
}
