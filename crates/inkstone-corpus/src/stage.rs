//! The `corpus` stage: texts in, two deduplicated splits of documents out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::pipeline::{Body, Job, Part, Settings};
use crate::read::{Content, Format, Unit};
use crate::settings::{Origin, check_share, estimate, hundred, one, one_in_twenty, one_mebibyte, yes};
use crate::text::{cut, keys_of, kind_of, normalize, take_meta};

pub use crate::pipeline::SplitKind;
pub use crate::text::Normalization;

/// Reads texts; see [`CorpusConfig`].
#[derive(Debug)]
pub struct CorpusStage;

/// The table of a `corpus` stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorpusConfig {
    /// A `world` stage whose texts are read. Either this or `paths`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Files, folders and patterns, relative to the recipe. Read in sorted order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// How they are written; by default told from each extension.
    #[serde(default)]
    pub format: Format,
    /// The key (column) that holds the text, or several that are joined by line feeds, or `*`: every text of the record, however deep,
    /// other than that of `meta`; `text`.
    #[serde(default)]
    pub text: TextKeys,
    /// What one document of a plain text is; `file`.
    #[serde(default)]
    pub document: Unit,
    /// Longer documents are cut, at ends of lines where possible; 1 MiB. Bytes of UTF-8.
    #[serde(default = "one_mebibyte")]
    pub max_document_bytes: usize,
    /// Unicode normalisation; `nfc`.
    #[serde(default)]
    pub normalization: Normalization,
    /// Whether all letters become small ones; false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lowercase: bool,
    /// Whether of documents with the same text only the first stays; true.
    #[serde(default = "yes")]
    pub deduplicate: bool,
    /// The share of documents that is kept for validation; 0.05.
    #[serde(default = "one_in_twenty")]
    pub validation: f64,
    /// How they are chosen; `hash`.
    #[serde(default)]
    pub split: SplitKind,
    /// Documents with fewer characters are dropped; 1.
    #[serde(default = "one")]
    pub min_characters: u64,
    /// Bad records that are reported and passed over; one more is an error; 100.
    #[serde(default = "hundred")]
    pub max_bad_records: u64,
}

/// One key, or several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TextKeys {
    /// The text is the value of this key.
    One(String),
    /// The text is their values, joined by line feeds.
    Many(Vec<String>),
}

/// The key that stands for all.
const ALL: &str = "*";

impl Default for TextKeys {
    fn default() -> Self {
        Self::One("text".to_owned())
    }
}

impl TextKeys {
    fn names(&self) -> &[String] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Many(names) => names,
        }
    }

    fn is_all(&self) -> bool {
        self.names() == [ALL]
    }
}

impl Stage for CorpusStage {
    type Config = CorpusConfig;

    const KIND: &'static str = "corpus";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "reads, normalises, deduplicates and splits texts";

    fn validate(config: &CorpusConfig) -> Result<(), String> {
        config.origin().check()?;
        check_share(config.validation)?;
        let names = config.text.names();
        if names.is_empty() || names.iter().any(String::is_empty) {
            return Err("`text` must name at least one key, such as \"text\"".to_owned());
        }
        if !(16..=1 << 28).contains(&config.max_document_bytes) {
            return Err("`max_document_bytes` must be between 16 and 268435456 (256 MiB)".to_owned());
        }
        Ok(())
    }

    fn inputs(config: &CorpusConfig) -> Vec<Input> {
        config.origin().inputs()
    }

    fn sources(config: &CorpusConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        Ok(config.origin().files(base)?)
    }

    fn estimate(config: &CorpusConfig, inputs: &BTreeMap<String, Forecast>, _machine: &Machine) -> Estimate {
        let bytes = config.origin().forecast_bytes(inputs);
        estimate(bytes, config.validation, &["documents"], config.max_document_bytes as u64)
    }

    fn run(config: &CorpusConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let job = Job {
            apart_from: None,
            weights: Vec::new(),
            context,
            sources: config.origin().sources(context)?,
            settings: config.settings(),
            columns: (!config.text.is_all()).then(|| config.text.names().to_vec()),
            prepare: &|content, parts| config.prepare(content, parts),
        };
        Ok(job.run()?)
    }
}

impl CorpusConfig {
    fn origin(&self) -> Origin<'_> {
        Origin { from: self.from.as_ref(), paths: &self.paths, format: self.format, prefix: "texts" }
    }

    fn settings(&self) -> Settings {
        Settings {
            unit: self.document,
            max_document_bytes: self.max_document_bytes,
            min_characters: self.min_characters,
            max_bad_records: self.max_bad_records,
            deduplicate: self.deduplicate,
            validation: self.validation,
            split: self.split,
        }
    }

    fn prepare(&self, content: Content<'_>, parts: &mut Vec<Part>) -> Result<(), String> {
        match content {
            Content::Text(text) => self.add_parts(text, Map::new(), parts),
            Content::Value(mut value) => {
                let text = self.text_of(&value)?;
                self.add_parts(&text, take_meta(&mut value), parts);
            }
        }
        Ok(())
    }

    fn text_of(&self, value: &Value) -> Result<String, String> {
        let object = value.as_object().ok_or("not an object with keys")?;
        let mut texts = Vec::new();
        if self.text.is_all() {
            object.iter().filter(|(key, _)| *key != "meta").for_each(|(_, value)| add_texts(value, &mut texts));
            return Ok(texts.join("\n"));
        }
        for name in self.text.names() {
            match object.get(name) {
                Some(Value::String(text)) => texts.push(text.as_str()),
                Some(other) => {
                    return Err(format!("`{name}` is not a string but {}", kind_of(other)));
                }
                None => return Err(format!("there is no key `{name}`; {}", keys_of(object))),
            }
        }
        Ok(texts.join("\n"))
    }

    fn add_parts(&self, text: &str, meta: Map<String, Value>, parts: &mut Vec<Part>) {
        let mut rest = text;
        while rest.len() > self.max_document_bytes {
            let (head, tail) = rest.split_at(cut(rest, self.max_document_bytes));
            parts.push(Part { body: Body::Text(self.normal(head)), meta: meta.clone() });
            rest = tail;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part { body: Body::Text(self.normal(rest)), meta });
        }
    }

    fn normal(&self, text: &str) -> String {
        let text = normalize(text, self.normalization);
        if self.lowercase { text.to_lowercase() } else { text }
    }
}

/// All texts of a value, in its order.
fn add_texts<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(values) => values.iter().for_each(|value| add_texts(value, texts)),
        Value::Object(entries) => entries.values().for_each(|value| add_texts(value, texts)),
        _ => {}
    }
}
