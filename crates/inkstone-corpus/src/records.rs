//! What the stages over records with keys (conversations, preferences) have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::chat::parse::{RATIONALE, rationale_bytes};
use crate::error::CorpusError;
use crate::overlap::Overlap;
use crate::read::source::Source;
use inkstone_recipe::{Context, Estimate, Forecast, Metrics, StageError};
use serde_json::Value;

use crate::pipeline::{Body, Job, Part, Settings, SplitKind};
use crate::read::{Content, Format, Unit};
use crate::settings::{Origin, check_share, estimate, one_mebibyte};
use crate::text::take_meta;

/// Records of one sort, and what becomes of them; the fields are those of the stages' tables.
pub(crate) struct Records<'a> {
    /// What the records are called, several of them.
    pub(crate) name: &'static str,
    /// What a record holds, or what is wrong with it.
    pub(crate) parse: &'a dyn Fn(&Value) -> Result<Body, String>,
    /// Whether lines of plain text are records, too.
    pub(crate) lines: bool,
    pub(crate) origin: Origin<'a>,
    pub(crate) deduplicate: bool,
    pub(crate) validation: f64,
    pub(crate) split: SplitKind,
    pub(crate) min_characters: u64,
    pub(crate) max_bad_records: u64,
    /// Files with texts that must not be read, and whether the input `apart_from` has more.
    pub(crate) apart_from: (&'a [String], bool),
    /// How often the training split has a record, by patterns of names of files.
    pub(crate) weights: Option<&'a BTreeMap<String, f64>>,
}

/// Most copies of a record.
const MAX_WEIGHT: f64 = 1000.0;

fn check_weights(weights: &BTreeMap<String, f64>) -> Result<(), String> {
    match weights.iter().find(|(_, weight)| !(0.0..=MAX_WEIGHT).contains(*weight)) {
        Some((pattern, weight)) => Err(format!("`weights.\"{pattern}\"` is {weight}, expected 0 to {MAX_WEIGHT}")),
        None => Ok(()),
    }
}

/// The weight of each source: that of the pattern which its name has, or 1. A pattern that no source has is an error.
fn weights_of(sources: &[Source], weights: &BTreeMap<String, f64>) -> Result<Vec<f64>, CorpusError> {
    let mut of = vec![1.0; sources.len()];
    for (pattern, &weight) in weights {
        let refuse =
            |error: glob::PatternError| CorpusError::Pattern { pattern: pattern.clone(), reason: error.to_string() };
        let glob = glob::Pattern::new(pattern).map_err(refuse)?;
        let named = |source: &Source| {
            let file = source.name.rsplit('/').next().unwrap_or_default();
            glob.matches(&source.name) || glob.matches(file)
        };
        let places: Vec<usize> = (0..sources.len()).filter(|&at| named(&sources[at])).collect();
        if places.is_empty() {
            return Err(CorpusError::NoMatch { pattern: pattern.clone() });
        }
        for at in places {
            of[at] = weight;
        }
    }
    Ok(of)
}

impl Records<'_> {
    pub(crate) fn check(&self) -> Result<(), String> {
        self.origin.check()?;
        check_share(self.validation)?;
        self.weights.map_or(Ok(()), check_weights)?;
        if self.origin.format == Format::Text && !self.lines {
            return Err(format!("`format` can't be \"text\": {} have keys", self.name));
        }
        Ok(())
    }

    pub(crate) fn files(&self, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        Ok(self.origin.files(base)?)
    }

    pub(crate) fn estimate(&self, inputs: &BTreeMap<String, Forecast>) -> Estimate {
        let bytes = self.origin.forecast_bytes(inputs);
        estimate(bytes, self.validation, &["documents", self.name], one_mebibyte() as u64)
    }

    /// The metrics count documents, and the same by the records' own name.
    pub(crate) fn run(&self, context: &Context<'_>) -> Result<Metrics, StageError> {
        let sources = self.origin.sources(context)?;
        let (paths, judged) = self.apart_from;
        let apart = judged || !paths.is_empty();
        let job = Job {
            context,
            apart_from: if apart { Some(Overlap::read(paths, context, judged)?) } else { None },
            weights: self.weights.map_or_else(|| Ok(Vec::new()), |weights| weights_of(&sources, weights))?,
            sources,
            settings: self.settings(),
            columns: None,
            prepare: &|content, parts| self.prepare(content, parts),
        };
        let mut metrics = job.run()?;
        for split in ["", "train_", "validation_"] {
            if let Some(count) = metrics.get(&format!("{split}documents")).cloned() {
                metrics.insert(format!("{split}{}", self.name), count);
            }
        }
        Ok(metrics)
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

    fn prepare(&self, content: Content<'_>, parts: &mut Vec<Part>) -> Result<(), String> {
        let mut value = match content {
            Content::Value(value) => value,
            Content::Text(text) => Value::from(text),
        };
        let body = (self.parse)(&value)?;
        let rationale = rationale_bytes(&value, &body);
        let mut meta = take_meta(&mut value);
        meta.extend(rationale.map(|bytes| (RATIONALE.to_owned(), bytes.into())));
        parts.push(Part { body, meta });
        Ok(())
    }
}
