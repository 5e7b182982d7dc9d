//! The `chat` stage: chat data in, two deduplicated splits of conversations out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};

use super::parse::parse_record;
use crate::pipeline::{Body, SplitKind};
use crate::read::Format;
use crate::records::Records;
use crate::settings::{Origin, hundred, one, one_in_twenty, yes};

/// Reads chat data; see [`ChatConfig`].
#[derive(Debug)]
pub struct ChatStage;

/// The table of a `chat` stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChatConfig {
    /// A `world` stage whose instructions are read. Either this or `paths`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Files, folders and patterns, relative to the recipe. Read in sorted order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// How they are written; by default told from each extension.
    #[serde(default)]
    pub format: Format,
    /// Whether of equal conversations only the first stays; true.
    #[serde(default = "yes")]
    pub deduplicate: bool,
    /// The share of conversations that is kept for validation; 0.05.
    #[serde(default = "one_in_twenty")]
    pub validation: f64,
    /// How they are chosen; `hash`.
    #[serde(default)]
    pub split: SplitKind,
    /// Conversations with fewer characters in all are dropped; 1.
    #[serde(default = "one")]
    pub min_characters: u64,
    /// Bad records that are reported and passed over; one more is an error; 100.
    #[serde(default = "hundred")]
    pub max_bad_records: u64,
}

impl Stage for ChatStage {
    type Config = ChatConfig;

    const KIND: &'static str = "chat";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "reads, deduplicates and splits conversations";

    fn validate(config: &ChatConfig) -> Result<(), String> {
        config.records().check()
    }

    fn inputs(config: &ChatConfig) -> Vec<Input> {
        config.records().origin.inputs()
    }

    fn sources(config: &ChatConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        config.records().files(base)
    }

    fn estimate(config: &ChatConfig, inputs: &BTreeMap<String, Forecast>, _machine: &Machine) -> Estimate {
        config.records().estimate(inputs)
    }

    fn run(config: &ChatConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        config.records().run(context)
    }
}

impl ChatConfig {
    fn records(&self) -> Records<'_> {
        Records {
            name: "conversations",
            parse: &|value| parse_record(value).map(Body::Messages).map_err(|error| error.to_string()),
            lines: false,
            origin: Origin {
                from: self.from.as_ref(),
                paths: &self.paths,
                format: self.format,
                prefix: "instructions",
            },
            deduplicate: self.deduplicate,
            validation: self.validation,
            split: self.split,
            min_characters: self.min_characters,
            max_bad_records: self.max_bad_records,
        }
    }
}
