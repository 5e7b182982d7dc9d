//! Executes one stage, keeping what an interrupted attempt left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RecipeError;
use crate::artifact::{hash_output, walk};
use crate::fs;
use crate::hash::{Source, Stamp};
use crate::key::content_id;
use crate::manifest::{Artifact, ContentId, Cost, FORMAT, Key, Manifest, Metrics};
use crate::measure::Meter;
use crate::registry::Bound;
use crate::run::RunEnvironment;
use crate::stage::{Context, StageError};
use crate::store::{Store, names};
use crate::time::rfc3339;

/// A stage that is to be executed.
pub(crate) struct Job<'a> {
    pub(crate) stage: &'a str,
    pub(crate) recipe: &'a str,
    pub(crate) recipe_toml: &'a str,
    pub(crate) bound: &'a dyn Bound,
    pub(crate) inputs: BTreeMap<String, Artifact>,
    pub(crate) sources: &'a [Source],
    pub(crate) base: PathBuf,
    pub(crate) seed: u64,
    pub(crate) key: Key,
    pub(crate) predicted: Option<Value>,
}

/// `attempt.json` beside `out` and `state`: what the attempts so far did cost.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Record {
    /// Start of the first attempt, RFC 3339.
    started: String,
    cost: Cost,
    /// Start of an attempt whose end is not recorded, in seconds since 1970.
    open_since: Option<f64>,
}

/// Executes the stage and puts its output into the store.
pub(crate) fn execute(job: &Job<'_>, store: &Store, environment: &RunEnvironment<'_>) -> Result<Artifact, RecipeError> {
    let folder = store.partial(&job.key);
    let mut record = begin(&folder)?;
    let meter = Meter::start();
    let result = run_stage(job, &folder, environment);
    record.close(&meter.stop());
    record.write(&folder)?;
    let metrics = result?;
    unchanged_sources(job)?;
    let out = folder.join("out");
    let (files, logs) = hash_output(job.stage, &out)?;
    let mut manifest = manifest(job, environment, record, metrics);
    (manifest.content, manifest.files, manifest.logs) = (content_id(&files), files, logs);
    let artifact = store.publish(&out, &manifest)?;
    fs::remove_dir_all(&folder)?;
    Ok(artifact)
}

/// Runs the stage in `folder/out` and `folder/state`.
pub(crate) fn run_stage(
    job: &Job<'_>,
    folder: &Path,
    environment: &RunEnvironment<'_>,
) -> Result<Metrics, RecipeError> {
    let (out, state) = (folder.join("out"), folder.join("state"));
    fs::create_dir_all(&out)?;
    empty(&out)?;
    fs::create_dir_all(&state)?;
    let talk = (environment.progress, environment.interrupt);
    let context = Context::new((out, state), job.inputs.clone(), job.seed, job.base.clone(), talk);
    job.bound.run(&context).map_err(|source| match source {
        StageError::Interrupted => RecipeError::Interrupted { stage: job.stage.to_owned() },
        source @ StageError::Failed { .. } => RecipeError::Stage { stage: job.stage.to_owned(), source },
    })
}

/// Removes what a folder contains. The folder stays: one without `out` was published and only
/// not yet removed.
fn empty(folder: &Path) -> Result<(), RecipeError> {
    for name in names(folder)? {
        let path = folder.join(name);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(&path)?;
        } else {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn begin(folder: &Path) -> Result<Record, RecipeError> {
    if !folder.join("out").exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let mut record = Record::read(folder);
    record.open_since = Some(seconds(SystemTime::now()));
    record.write(folder)?;
    Ok(record)
}

impl Record {
    /// The record of earlier attempts. One that was killed lasted until it last wrote something.
    fn read(folder: &Path) -> Self {
        let bytes = fs::read(&folder.join("attempt.json"), 1 << 16).unwrap_or_default();
        let fresh = || Self { started: rfc3339(SystemTime::now()), ..Self::default() };
        let mut record: Self = serde_json::from_slice(&bytes).unwrap_or_else(|_| fresh());
        if let Some(start) = record.open_since.take() {
            record.cost.seconds += last_write(folder).map_or(0.0, |end| (seconds(end) - start).max(0.0));
        }
        record
    }

    fn close(&mut self, cost: &Cost) {
        self.open_since = None;
        self.cost.seconds += cost.seconds;
        self.cost.peak_bytes = self.cost.peak_bytes.max(cost.peak_bytes);
        let joules = self.cost.joules.into_iter().chain(cost.joules);
        self.cost.joules = joules.reduce(|a, b| a + b);
    }

    fn write(&self, folder: &Path) -> Result<(), RecipeError> {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Ok(fs::write_atomic(&folder.join("attempt.json"), &bytes)?)
    }
}

/// When something below `folder` was last written.
pub(crate) fn last_write(folder: &Path) -> Option<SystemTime> {
    let mut latest = None;
    let result = walk(folder, &mut |path, _| {
        latest = latest.max(std::fs::symlink_metadata(path).and_then(|m| m.modified()).ok());
        Ok(())
    });
    result.ok().and(latest)
}

fn seconds(moment: SystemTime) -> f64 {
    moment.duration_since(UNIX_EPOCH).as_ref().map_or(0.0, Duration::as_secs_f64)
}

/// What the stage read must be what its key says.
fn unchanged_sources(job: &Job<'_>) -> Result<(), RecipeError> {
    for source in job.sources {
        if Stamp::of(&source.path)? != source.stamp {
            return Err(RecipeError::SourceChanged { stage: job.stage.to_owned(), path: source.path.clone() });
        }
    }
    Ok(())
}

/// The manifest, but for the files.
fn manifest(job: &Job<'_>, environment: &RunEnvironment<'_>, record: Record, metrics: Metrics) -> Manifest {
    Manifest {
        format: FORMAT,
        kind: job.bound.kind().to_owned(),
        stage: job.stage.to_owned(),
        recipe: job.recipe.to_owned(),
        recipe_toml: job.recipe_toml.to_owned(),
        config: job.bound.config().clone(),
        inputs: job.inputs.iter().map(|(field, a)| (field.clone(), a.manifest.id())).collect(),
        sources: job.sources.iter().map(|s| s.entry.clone()).collect(),
        base: job.base.clone(),
        seed: job.seed,
        program: environment.program.clone(),
        stage_version: job.bound.version(),
        numeric_path: environment.numeric_path.clone(),
        key: job.key.clone(),
        content: ContentId(String::new()),
        started: record.started,
        ended: rfc3339(SystemTime::now()),
        cost: record.cost,
        predicted: job.predicted.clone(),
        metrics,
        files: Vec::new(),
        logs: Vec::new(),
    }
}
