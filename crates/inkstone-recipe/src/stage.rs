//! What one kind of stage is: the trait that every crate with work to do implements.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::manifest::{Artifact, Metrics};
use crate::progress::{Interrupt, Progress};
use crate::upstream::Upstream;

/// One kind of stage (`kind = "corpus"`): a config, the artifacts it reads, what it will cost and
/// what it does.
///
/// `Config` is the stage's table in the recipe without `kind`. It must carry
/// `#[serde(deny_unknown_fields)]`; every field is required or has a documented default, so that
/// the serialised config is the resolved one.
pub trait Stage: Send + Sync + 'static {
    /// The stage's table in the recipe.
    type Config: DeserializeOwned + Serialize;

    /// The word after `kind =`.
    const KIND: &'static str;
    /// Raised whenever the same config and inputs would give other bytes than before.
    const VERSION: u32;
    /// One line for `plan` and for error messages.
    const SUMMARY: &'static str;

    /// Refuses a config that can't run, before anything runs. The message says what is wrong and
    /// what would be right, and begins with the field's name in backquotes.
    fn validate(_config: &Self::Config) -> Result<(), String> {
        Ok(())
    }

    /// The stages that this one reads, in a fixed order.
    fn inputs(config: &Self::Config) -> Vec<Input>;

    /// Files outside the store that this stage reads. Relative paths are resolved against `base`,
    /// the folder of the recipe. Their bytes count towards the stage's key.
    fn sources(_config: &Self::Config, _base: &Path) -> Result<Vec<PathBuf>, StageError> {
        Ok(Vec::new())
    }

    /// Stages that a config asks for without naming them. A stage called `pretrain` that returns
    /// the suffix `tokens` gets an input stage called `pretrain.tokens`.
    fn implicit(_config: &Self::Config) -> Vec<ImplicitStage> {
        Vec::new()
    }

    /// What the stage would make and cost. `inputs` holds, by field, the measured metrics of a
    /// cached input or the estimate of one that is still to be made; and under [`SOURCES`], as
    /// `bytes`, the size of the files that the stage reads from outside.
    fn estimate(config: &Self::Config, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate;

    /// Refuses what can be seen to fail long before it fails: asked before each stage that has to be made, so that nobody waits
    /// for inputs that will not do.
    fn foresee(_config: &Self::Config, _upstream: &Upstream<'_>) -> Result<(), StageError> {
        Ok(())
    }

    /// Does the work: reads `context.input(field)`, writes into `context.out()`.
    ///
    /// After a kill the same stage runs again with the same `context.state()` folder, in which it
    /// may keep checkpoints; `out()` is empty at every start. The bytes in `out()`, other than
    /// those below `logs/`, must depend on config, inputs and seed only.
    fn run(config: &Self::Config, context: &Context<'_>) -> Result<Metrics, StageError>;
}

/// Where the forecasts of a stage's inputs keep the size of its sources; no field has such a name.
pub const SOURCES: &str = "(sources)";

/// A stage that another one reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The field of the config that names it, e.g. `corpus`; `tokens` for an implicit stage.
    pub field: &'static str,
    /// The name of the stage in the recipe, or of an implicit stage its suffix with a leading dot.
    pub stage: String,
    /// The kinds of stage that will do.
    pub kinds: &'static [&'static str],
}

/// A stage that is made on behalf of another one.
#[derive(Debug, Clone)]
pub struct ImplicitStage {
    /// What is added to the name of the stage that asks for it, after a dot.
    pub suffix: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its config as the recipe would have written it.
    pub config: serde_json::Value,
}

/// What the machine was measured to do; the unit of work is up to the stages.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    /// Single-precision matrix product rate with all threads, in FLOP/s.
    pub flops_per_second: f64,
    /// Rate of reading main memory with all threads, in bytes/s.
    pub bytes_per_second: f64,
    /// Threads that the run will use.
    pub threads: usize,
    /// Physical memory in bytes.
    pub memory_bytes: u64,
}

/// What is known of an input before its stage has run.
#[derive(Debug, Clone, Default)]
pub struct Forecast {
    /// Numbers by the names that the stage's manifest uses for its metrics.
    pub metrics: BTreeMap<String, f64>,
    /// What its estimate foresaw besides numbers; empty where the artifact is cached.
    pub details: BTreeMap<String, serde_json::Value>,
    /// The folder of the artifact, where it is cached.
    pub folder: Option<PathBuf>,
}

/// What a stage would make and cost, as far as it can tell.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Estimate {
    /// Trainable parameters.
    pub parameters: Option<u64>,
    /// Tokens processed.
    pub tokens: Option<u64>,
    /// Floating point operations.
    pub flops: Option<f64>,
    /// Wall time in seconds.
    pub seconds: Option<f64>,
    /// Peak resident memory in bytes.
    pub peak_bytes: Option<u64>,
    /// Size of the artifact in bytes.
    pub bytes: Option<u64>,
    /// The metrics that later stages will want, by their names in the manifest.
    pub metrics: BTreeMap<String, f64>,
    /// What later stages will want besides numbers, e.g. the shape of a model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, serde_json::Value>,
}

/// What a running stage may see and use.
pub struct Context<'a> {
    /// The seed of the recipe.
    pub seed: u64,
    /// The folder of the recipe, against which relative source paths are resolved.
    pub base: PathBuf,
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
    /// Whether the user asked to stop.
    pub interrupt: &'a Interrupt,
    pub(crate) out: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) inputs: BTreeMap<String, Artifact>,
}

impl<'a> Context<'a> {
    /// A context on given folders; `out` and `state` exist.
    pub fn new(
        folders: (PathBuf, PathBuf),
        inputs: BTreeMap<String, Artifact>,
        seed: u64,
        base: PathBuf,
        talk: (&'a dyn Progress, &'a Interrupt),
    ) -> Self {
        let ((out, state), (progress, interrupt)) = (folders, talk);
        Self { seed, base, progress, interrupt, out, state, inputs }
    }

    /// The folder that becomes the artifact. Files below its `logs/` are kept but are not part of
    /// its content (they may hold times).
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// The folder that survives a kill of this stage and is deleted when it has finished.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The artifact that the config's `field` names.
    ///
    /// # Panics
    /// If the stage did not declare `field` among its inputs, which is an error in the stage.
    pub fn input(&self, field: &str) -> &Artifact {
        &self.inputs[field]
    }

    /// `Err(Interrupted)` once the user has asked to stop.
    pub fn check_interrupt(&self) -> Result<(), StageError> {
        if self.interrupt.requested() { Err(StageError::Interrupted) } else { Ok(()) }
    }
}

/// Why a stage did not finish.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// The user asked to stop; what was worth keeping is in the state folder.
    #[error("stopped on request; the same command goes on from here")]
    Interrupted,
    /// The work failed. `hint` says what the user can do.
    #[error("{message}")]
    Failed {
        /// What is wrong, with path, line, tensor, expected and got.
        message: String,
        /// The way out, where there is one.
        hint: Option<String>,
        /// What caused it.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl StageError {
    /// A failure whose text is `error`'s, with `error` as the source of its causes.
    pub fn from_error(error: impl std::error::Error + Send + Sync + 'static, hint: Option<&str>) -> Self {
        Self::Failed { message: error.to_string(), hint: hint.map(str::to_owned), source: Some(Box::new(error)) }
    }

    /// A failure in words.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed { message: message.into(), hint: Some(hint.into()), source: None }
    }
}
