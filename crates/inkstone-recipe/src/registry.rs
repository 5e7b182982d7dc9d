//! The table of stage kinds, and stages with their types erased.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use crate::RecipeError;
use crate::de::{Fault, Misfit};
use crate::manifest::Metrics;
use crate::stage::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Stage, StageError};
use crate::suggest::nearest;
use crate::tree::{Node, Place};
use crate::upstream::Upstream;

/// The stage kinds that a program knows.
#[derive(Default)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Box<dyn Kind>>,
}

impl Registry {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind. The last one added under a name wins.
    pub fn add<S: Stage>(&mut self) -> &mut Self {
        self.kinds.insert(S::KIND, Box::new(Of::<S>(PhantomData)));
        self
    }

    /// The kinds with their one line, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        self.kinds.iter().map(|(name, kind)| (*name, kind.summary()))
    }

    pub(crate) fn get(&self, kind: &str) -> Option<&dyn Kind> {
        self.kinds.get(kind).map(AsRef::as_ref)
    }

    /// The stage of `kind` with the config `table`; `stage` is its name for error messages.
    pub(crate) fn bind(&self, stage: &str, kind: (&str, &Place), table: &Node) -> Result<Box<dyn Bound>, RecipeError> {
        let (kind, kind_place) = kind;
        let known = || self.kinds.keys().map(|k| (*k).to_owned()).collect();
        let found = self.get(kind).ok_or_else(|| RecipeError::UnknownKind {
            place: kind_place.clone(),
            stage: stage.to_owned(),
            kind: kind.to_owned(),
            suggestion: nearest(kind, self.kinds.keys().copied()),
            known: known(),
        })?;
        found.bind(table).map_err(|e| e.explain(stage, kind, table))
    }
}

/// A kind of stage.
pub(crate) trait Kind {
    fn summary(&self) -> &'static str;
    fn bind(&self, table: &Node) -> Result<Box<dyn Bound>, BindError>;
}

/// A stage with its config.
pub(crate) trait Bound {
    fn kind(&self) -> &'static str;
    fn version(&self) -> u32;
    fn summary(&self) -> &'static str;
    /// The resolved config.
    fn config(&self) -> &Value;
    fn inputs(&self) -> Vec<Input>;
    fn sources(&self, base: &Path) -> Result<Vec<PathBuf>, StageError>;
    fn implicit(&self) -> Vec<ImplicitStage>;
    fn estimate(&self, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate;
    fn foresee(&self, upstream: &Upstream<'_>) -> Result<(), StageError>;
    fn run(&self, context: &Context<'_>) -> Result<Metrics, StageError>;
}

/// Why a table is no config.
pub(crate) enum BindError {
    Misfit(Misfit),
    Refused(String),
    Unwritable(serde_json::Error),
}

impl BindError {
    fn explain(self, stage: &str, kind: &str, table: &Node) -> RecipeError {
        let owner = format!("stage `{stage}` (kind `{kind}`)");
        match self {
            Self::Misfit(misfit) => misfit_error(&misfit, owner, table),
            Self::Refused(message) => {
                let field = message.strip_prefix('`').and_then(|m| m.split('`').next()).unwrap_or("");
                let place = table.at(field).unwrap_or(table).place.clone();
                RecipeError::Invalid { place, owner, message }
            }
            Self::Unwritable(e) => {
                let message = format!("its config cannot be written as JSON: {e}");
                RecipeError::Invalid { place: table.place.clone(), owner, message }
            }
        }
    }
}

fn misfit_error(misfit: &Misfit, owner: String, table: &Node) -> RecipeError {
    let place = misfit.place.clone().unwrap_or_else(|| table.place.clone());
    match &misfit.fault {
        Fault::UnknownKey { key, known } => RecipeError::UnknownKey {
            place,
            owner,
            key: misfit.key(Some(key)),
            suggestion: nearest(key, known.iter().copied()),
            known: known.iter().map(|k| (*k).to_owned()).collect(),
        },
        Fault::MissingKey(key) => RecipeError::MissingKey { place, owner, key: misfit.key(Some(key)) },
        Fault::UnknownWord { word, known } => RecipeError::WrongValue {
            place,
            owner,
            key: misfit.key(None),
            message: format!("expected {}, got `{word}`", crate::suggest::list(known)),
            suggestion: nearest(word, known.iter().copied()),
        },
        Fault::Other(message) => {
            RecipeError::WrongValue { place, owner, key: misfit.key(None), message: message.clone(), suggestion: None }
        }
    }
}

struct Of<S>(PhantomData<fn() -> S>);

impl<S: Stage> Kind for Of<S> {
    fn summary(&self) -> &'static str {
        S::SUMMARY
    }

    fn bind(&self, table: &Node) -> Result<Box<dyn Bound>, BindError> {
        let config = S::Config::deserialize(table).map_err(BindError::Misfit)?;
        S::validate(&config).map_err(BindError::Refused)?;
        let json = serde_json::to_value(&config).map_err(BindError::Unwritable)?;
        Ok(Box::new(With::<S> { config, json }))
    }
}

struct With<S: Stage> {
    config: S::Config,
    json: Value,
}

impl<S: Stage> Bound for With<S> {
    fn kind(&self) -> &'static str {
        S::KIND
    }

    fn version(&self) -> u32 {
        S::VERSION
    }

    fn summary(&self) -> &'static str {
        S::SUMMARY
    }

    fn config(&self) -> &Value {
        &self.json
    }

    fn inputs(&self) -> Vec<Input> {
        S::inputs(&self.config)
    }

    fn sources(&self, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        S::sources(&self.config, base)
    }

    fn implicit(&self) -> Vec<ImplicitStage> {
        S::implicit(&self.config)
    }

    fn estimate(&self, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        S::estimate(&self.config, inputs, machine)
    }

    fn foresee(&self, upstream: &Upstream<'_>) -> Result<(), StageError> {
        S::foresee(&self.config, upstream)
    }

    fn run(&self, context: &Context<'_>) -> Result<Metrics, StageError> {
        S::run(&self.config, context)
    }
}
