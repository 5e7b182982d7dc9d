//! The `corpus` stage: texts in, two deduplicated splits of documents out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

use crate::error::CorpusError;
use crate::pipeline::{Body, Job, Part, Settings};
use crate::read::source::{Source, expand};
use crate::read::{Content, Format, Unit};

pub use crate::pipeline::SplitKind;

/// Bytes of source text that both passes read, hash, compress and write in a second on one core.
const BYTES_PER_SECOND: f64 = 50e6;
/// Peak memory of the pipeline beside what the documents themselves take.
const BASE_PEAK_BYTES: u64 = 64 << 20;

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
    /// The key (column) that holds the text, or several that are joined by line feeds; `text`.
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
}

/// A Unicode normalisation form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Composed characters, nothing lost.
    #[default]
    Nfc,
    /// Also compatibility characters (full-width Latin, ligatures) in their plain form.
    Nfkc,
    /// As it is.
    None,
}

pub(crate) fn one_mebibyte() -> usize {
    1 << 20
}
pub(crate) fn yes() -> bool {
    true
}
pub(crate) fn one_in_twenty() -> f64 {
    0.05
}
pub(crate) fn one() -> u64 {
    1
}
pub(crate) fn hundred() -> u64 {
    100
}

impl Stage for CorpusStage {
    type Config = CorpusConfig;

    const KIND: &'static str = "corpus";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "reads, normalises, deduplicates and splits texts";

    fn validate(config: &CorpusConfig) -> Result<(), String> {
        check_origin(config.from.as_ref(), &config.paths)?;
        check_share(config.validation)?;
        let names = config.text.names();
        if names.is_empty() || names.iter().any(String::is_empty) {
            return Err("`text` must name at least one key, such as \"text\"".to_owned());
        }
        if !(16..=1 << 28).contains(&config.max_document_bytes) {
            return Err(
                "`max_document_bytes` must be between 16 and 268435456 (256 MiB)".to_owned(),
            );
        }
        Ok(())
    }

    fn inputs(config: &CorpusConfig) -> Vec<Input> {
        inputs(config.from.as_ref())
    }

    fn sources(config: &CorpusConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        Ok(expand(&config.paths, base, config.format)?)
    }

    fn estimate(
        config: &CorpusConfig,
        inputs: &BTreeMap<String, Forecast>,
        _machine: &Machine,
    ) -> Estimate {
        let bytes = forecast_bytes(&config.paths, config.format, inputs, "texts");
        estimate(
            bytes,
            config.validation,
            &["documents"],
            config.max_document_bytes as u64,
        )
    }

    fn run(config: &CorpusConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let sources = sources(
            config.from.is_some().then_some("texts"),
            &config.paths,
            config.format,
            context,
        )?;
        let job = Job {
            context,
            sources,
            settings: config.settings(),
            columns: Some(config.text.names().to_vec()),
            prepare: &|content, parts| config.prepare(content, parts),
        };
        Ok(job.run()?)
    }
}

impl CorpusConfig {
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
            parts.push(Part {
                body: Body::Text(normalize(head, self.normalization)),
                meta: meta.clone(),
            });
            rest = tail;
        }
        if !rest.is_empty() || parts.is_empty() {
            parts.push(Part {
                body: Body::Text(normalize(rest, self.normalization)),
                meta,
            });
        }
    }
}

/// Where to cut a text that is longer than `max`: behind the last line feed, or else between two
/// characters.
fn cut(text: &str, max: usize) -> usize {
    let at = text.floor_char_boundary(max);
    text[..at].rfind('\n').map_or(at, |newline| newline + 1)
}

fn normalize(text: &str, form: Normalization) -> String {
    let normal = match form {
        _ if text.is_ascii() => true,
        Normalization::None => true,
        Normalization::Nfc => is_nfc_quick(text.chars()) == IsNormalized::Yes,
        Normalization::Nfkc => is_nfkc_quick(text.chars()) == IsNormalized::Yes,
    };
    match form {
        _ if normal => text.to_owned(),
        Normalization::Nfkc => text.nfkc().collect(),
        _ => text.nfc().collect(),
    }
}

/// A record's own `meta`, where it is an object.
pub(crate) fn take_meta(value: &mut Value) -> Map<String, Value> {
    match value.get_mut("meta").map(Value::take) {
        Some(Value::Object(meta)) => meta,
        _ => Map::new(),
    }
}

/// What a JSON value is, in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The first keys of a record, for a complaint about a missing one.
pub(crate) fn keys_of(object: &Map<String, Value>) -> String {
    let names: Vec<_> = object
        .keys()
        .take(8)
        .map(|name| format!("`{name}`"))
        .collect();
    if names.is_empty() {
        "the record is empty".to_owned()
    } else {
        format!("the record has {}", names.join(", "))
    }
}

pub(crate) fn check_origin(from: Option<&String>, paths: &[String]) -> Result<(), String> {
    match (from, paths) {
        (None, []) => Err(
            "`paths` is missing: name files, folders or patterns (or a world stage in `from`)"
                .to_owned(),
        ),
        (Some(_), [_, ..]) => Err("`paths` and `from` can't both be set".to_owned()),
        _ => Ok(()),
    }
}

pub(crate) fn check_share(validation: f64) -> Result<(), String> {
    let good = (0.0..=0.5).contains(&validation);
    if good {
        Ok(())
    } else {
        Err(format!(
            "`validation` is {validation}, and must be between 0 and 0.5"
        ))
    }
}

pub(crate) fn inputs(from: Option<&String>) -> Vec<Input> {
    from.iter()
        .map(|stage| Input {
            field: "from",
            stage: (*stage).clone(),
            kinds: &["world"],
        })
        .collect()
}

/// The files of a world whose names begin with `prefix`, or those that the recipe names.
pub(crate) fn sources(
    prefix: Option<&str>,
    paths: &[String],
    format: Format,
    context: &Context<'_>,
) -> Result<Vec<Source>, CorpusError> {
    let (files, base, format) = match prefix {
        None => (
            expand(paths, &context.base, format)?,
            context.base.clone(),
            format,
        ),
        Some(prefix) => {
            let folder = context.input("from").folder.clone();
            (
                expand(&[format!("{prefix}.*.jsonl")], &folder, Format::Jsonl)?,
                folder,
                Format::Jsonl,
            )
        }
    };
    files
        .into_iter()
        .map(|path| Source::new(path, &base, format))
        .collect()
}

/// The size of what will be read, as far as it can be told before.
pub(crate) fn forecast_bytes(
    paths: &[String],
    format: Format,
    inputs: &BTreeMap<String, Forecast>,
    prefix: &str,
) -> Option<f64> {
    let Some(world) = inputs.get("from") else {
        return size_of_files(paths, Path::new("."), format);
    };
    let named = [format!("{prefix}_bytes"), "bytes".to_owned()];
    let metric = named
        .iter()
        .find_map(|name| world.metrics.get(name).copied());
    let measured = || {
        size_of_files(
            &[format!("{prefix}.*.jsonl")],
            world.folder.as_deref()?,
            Format::Jsonl,
        )
    };
    metric.or_else(measured)
}

fn size_of_files(paths: &[String], base: &Path, format: Format) -> Option<f64> {
    let files = expand(paths, base, format).ok()?;
    let sizes = files
        .iter()
        .map(|path| std::fs::metadata(path).map(|data| data.len()));
    sizes
        .sum::<std::io::Result<u64>>()
        .ok()
        .map(|bytes| bytes as f64)
}

/// Typical bytes of a document, for want of knowing better.
const BYTES_PER_DOCUMENT: f64 = 1000.0;

/// From the size of the sources to what will come of them.
pub(crate) fn estimate(
    bytes: Option<f64>,
    validation: f64,
    names: &[&str],
    longest: u64,
) -> Estimate {
    let Some(bytes) = bytes else {
        return Estimate::default();
    };
    let mut metrics = BTreeMap::from([
        ("bytes".to_owned(), bytes),
        ("characters".to_owned(), bytes),
        ("train_bytes".to_owned(), bytes * (1.0 - validation)),
        ("train_characters".to_owned(), bytes * (1.0 - validation)),
        ("validation_bytes".to_owned(), bytes * validation),
    ]);
    for name in names {
        let documents = (bytes / BYTES_PER_DOCUMENT).ceil();
        metrics.insert((*name).to_owned(), documents);
        metrics.insert(format!("train_{name}"), documents * (1.0 - validation));
        metrics.insert(format!("validation_{name}"), documents * validation);
    }
    Estimate {
        seconds: Some(bytes / BYTES_PER_SECOND),
        peak_bytes: Some(BASE_PEAK_BYTES + 8 * longest),
        bytes: Some((bytes / 2.5) as u64),
        metrics,
        ..Estimate::default()
    }
}
