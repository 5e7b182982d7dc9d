//! The `chat` stage: chat data in, two deduplicated splits of conversations out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};

use super::parse::parse_record;
use crate::pipeline::{Body, SplitKind};
use crate::read::Format;
use crate::read::source::expand;
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
    /// How often the training split has a conversation, by patterns of names of files (`"alpaca*.json" = 2.5`: every one of theirs
    /// twice, and every other a third time; less than 1: a part of them). Default: once.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights: BTreeMap<String, f64>,
    /// A `world` or `arithmetic` stage whose judged questions must not be in the conversations: those with one of them are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub apart_from: Option<String>,
    /// Evaluation sets: conversations that have 13 words in a row of any text in them, or all of a shorter one as a turn, are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart_from_paths: Vec<String>,
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
        let apart = config.apart_from.iter();
        let mut inputs = config.records().origin.inputs();
        inputs.extend(apart.map(|stage| Input {
            field: "apart_from",
            stage: stage.clone(),
            kinds: &["world", "arithmetic"],
        }));
        inputs
    }

    fn sources(config: &ChatConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        let mut files = config.records().files(base)?;
        files.extend(expand(&config.apart_from_paths, base, Format::Auto)?);
        Ok(files)
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
            apart_from: (&self.apart_from_paths, self.apart_from.is_some()),
            weights: Some(&self.weights),
        }
    }
}
