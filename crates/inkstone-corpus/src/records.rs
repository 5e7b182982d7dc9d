//! What the stages over records with keys (conversations, preferences) have in common.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
}

impl Records<'_> {
    pub(crate) fn check(&self) -> Result<(), String> {
        self.origin.check()?;
        check_share(self.validation)?;
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
        let job = Job {
            context,
            sources: self.origin.sources(context)?,
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
        parts.push(Part { body, meta: take_meta(&mut value) });
        Ok(())
    }
}
