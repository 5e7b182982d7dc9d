//! The `preferences` stage: preferences in, two deduplicated splits out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};

use super::parse::parse_preference;
use crate::pipeline::{Body, SplitKind};
use crate::read::Format;
use crate::records::Records;
use crate::settings::{Origin, hundred, one, one_in_twenty, yes};

/// Reads preferences; see [`PreferencesConfig`].
#[derive(Debug)]
pub struct PreferencesStage;

/// The table of a `preferences` stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreferencesConfig {
    /// Files, folders and patterns, relative to the recipe. Read in sorted order.
    pub paths: Vec<String>,
    /// How they are written; by default told from each extension.
    #[serde(default)]
    pub format: Format,
    /// Whether of equal records only the first stays; true.
    #[serde(default = "yes")]
    pub deduplicate: bool,
    /// The share of records that is kept for validation; 0.05.
    #[serde(default = "one_in_twenty")]
    pub validation: f64,
    /// How they are chosen; `hash`.
    #[serde(default)]
    pub split: SplitKind,
    /// Records with fewer characters in all are dropped; 1.
    #[serde(default = "one")]
    pub min_characters: u64,
    /// Bad records that are reported and passed over; one more is an error; 100.
    #[serde(default = "hundred")]
    pub max_bad_records: u64,
}

impl Stage for PreferencesStage {
    type Config = PreferencesConfig;

    const KIND: &'static str = "preferences";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "reads, deduplicates and splits preferences among answers";

    fn validate(config: &PreferencesConfig) -> Result<(), String> {
        config.records().check()
    }

    fn inputs(config: &PreferencesConfig) -> Vec<Input> {
        config.records().origin.inputs()
    }

    fn sources(config: &PreferencesConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        config.records().files(base)
    }

    fn estimate(config: &PreferencesConfig, inputs: &BTreeMap<String, Forecast>, _machine: &Machine) -> Estimate {
        config.records().estimate(inputs)
    }

    fn run(config: &PreferencesConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        config.records().run(context)
    }
}

impl PreferencesConfig {
    fn records(&self) -> Records<'_> {
        Records {
            name: "preferences",
            parse: &|value| parse_preference(value).map(Body::Answers).map_err(|error| error.to_string()),
            lines: false,
            origin: Origin { from: None, paths: &self.paths, format: self.format, prefix: "" },
            deduplicate: self.deduplicate,
            validation: self.validation,
            split: self.split,
            min_characters: self.min_characters,
            max_bad_records: self.max_bad_records,
            apart_from: (&[], false),
            weights: None,
        }
    }
}
