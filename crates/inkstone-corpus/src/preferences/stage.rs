//! The `preferences` stage: preferences in, two deduplicated splits out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parse::parse_preference;
use crate::pipeline::{Body, Job, Part, Settings, SplitKind};
use crate::read::{Content, Format, Unit};
use crate::settings::{Origin, check_share, estimate, hundred, one, one_in_twenty, one_mebibyte, yes};
use crate::text::take_meta;

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
        config.origin().check()?;
        check_share(config.validation)?;
        if config.format == Format::Text {
            return Err("`format` can't be \"text\": preferences have keys".to_owned());
        }
        Ok(())
    }

    fn inputs(config: &PreferencesConfig) -> Vec<Input> {
        config.origin().inputs()
    }

    fn sources(config: &PreferencesConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        Ok(config.origin().files(base)?)
    }

    fn estimate(config: &PreferencesConfig, inputs: &BTreeMap<String, Forecast>, _machine: &Machine) -> Estimate {
        let bytes = config.origin().forecast_bytes(inputs);
        estimate(bytes, config.validation, &["documents", "preferences"], one_mebibyte() as u64)
    }

    fn run(config: &PreferencesConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let job = Job {
            context,
            sources: config.origin().sources(context)?,
            settings: config.settings(),
            columns: None,
            prepare: &prepare,
        };
        let mut metrics = job.run()?;
        for split in ["", "train_", "validation_"] {
            if let Some(count) = metrics.get(&format!("{split}documents")).cloned() {
                metrics.insert(format!("{split}preferences"), count);
            }
        }
        Ok(metrics)
    }
}

impl PreferencesConfig {
    fn origin(&self) -> Origin<'_> {
        Origin { from: None, paths: &self.paths, format: self.format, prefix: "" }
    }

    fn settings(&self) -> Settings {
        Settings {
            unit: Unit::Line,
            max_document_bytes: one_mebibyte(),
            min_characters: self.min_characters,
            max_bad_records: self.max_bad_records,
            deduplicate: self.deduplicate,
            validation: self.validation,
            split: self.split,
        }
    }
}

fn prepare(content: Content<'_>, parts: &mut Vec<Part>) -> Result<(), String> {
    let mut value = match content {
        Content::Value(value) => value,
        Content::Text(text) => Value::from(text),
    };
    let answers = parse_preference(&value).map_err(|error| error.to_string())?;
    parts.push(Part { body: Body::Answers(answers), meta: take_meta(&mut value) });
    Ok(())
}
