//! The `examples` stage: examples of a task in, two deduplicated splits out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::parse::{Fields, parse_example, split_line};
use crate::pipeline::{Body, SplitKind};
use crate::read::Format;
use crate::records::Records;
use crate::settings::{Origin, hundred, one, one_in_twenty, yes};

/// Reads examples; see [`ExamplesConfig`].
#[derive(Debug)]
pub struct ExamplesStage;

/// The table of an `examples` stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExamplesConfig {
    /// Files, folders and patterns, relative to the recipe. Read in sorted order.
    pub paths: Vec<String>,
    /// How they are written; by default told from each extension.
    #[serde(default)]
    pub format: Format,
    /// Which key of a record holds what; by default `text` and `answer`.
    #[serde(default)]
    pub fields: Fields,
    /// The parts of a line of plain text, by the keys that they stand for, e.g. `["answer", "text"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// What stands between two parts of a line; a tab.
    #[serde(default = "tab")]
    pub separator: String,
    /// Whether of equal examples only the first stays; true.
    #[serde(default = "yes")]
    pub deduplicate: bool,
    /// The share of examples that is kept for validation; 0.05.
    #[serde(default = "one_in_twenty")]
    pub validation: f64,
    /// How they are chosen; `hash`.
    #[serde(default)]
    pub split: SplitKind,
    /// Examples with fewer characters in all are dropped; 1.
    #[serde(default = "one")]
    pub min_characters: u64,
    /// Bad records that are reported and passed over; one more is an error; 100.
    #[serde(default = "hundred")]
    pub max_bad_records: u64,
}

fn tab() -> String {
    "\t".to_owned()
}

impl Stage for ExamplesStage {
    type Config = ExamplesConfig;

    const KIND: &'static str = "examples";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "reads, deduplicates and splits examples of a task";

    fn validate(config: &ExamplesConfig) -> Result<(), String> {
        if config.separator.is_empty() {
            return Err("`separator` is empty".to_owned());
        }
        let parse = |value: &Value| config.parse(value);
        config.records(&parse).check()
    }

    fn inputs(_config: &ExamplesConfig) -> Vec<Input> {
        Vec::new()
    }

    fn sources(config: &ExamplesConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        config.records(&|value| config.parse(value)).files(base)
    }

    fn estimate(config: &ExamplesConfig, inputs: &BTreeMap<String, Forecast>, _machine: &Machine) -> Estimate {
        config.records(&|value| config.parse(value)).estimate(inputs)
    }

    fn run(config: &ExamplesConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        config.records(&|value| config.parse(value)).run(context)
    }
}

impl ExamplesConfig {
    /// A line is split first.
    fn parse(&self, value: &Value) -> Result<Body, String> {
        let task = match value {
            Value::String(line) => {
                split_line(line, &self.separator, &self.parts).and_then(|record| parse_example(&record, &self.fields))
            }
            record => parse_example(record, &self.fields),
        };
        task.map(Body::Example).map_err(|error| error.to_string())
    }

    fn records<'a>(&'a self, parse: &'a dyn Fn(&Value) -> Result<Body, String>) -> Records<'a> {
        Records {
            name: "examples",
            parse,
            lines: !self.parts.is_empty(),
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
