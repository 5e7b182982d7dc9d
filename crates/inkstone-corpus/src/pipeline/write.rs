//! The second pass: names, splits and writes what stays.

use inkstone_recipe::Metrics;
use serde::Serialize;
use serde_json::{Map, Value};

use super::pass::{Draft, Findings, walk};
use super::split::Splitter;
use super::{Body, Job, Size};
use crate::chat::Conversation;
use crate::document::{Document, LineWriter, Split};
use crate::error::CorpusError;
use crate::examples::Example;
use crate::mix::finalise;
use crate::preferences::Preference;
use crate::read::source::Source;

/// What a split holds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Total {
    pub(crate) documents: u64,
    pub(crate) bytes: u64,
    pub(crate) characters: u64,
}

/// What was written, and the first of the duplicates that were not.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) train: Total,
    pub(crate) validation: Total,
    pub(crate) duplicates: Vec<Dropped>,
}

/// A document that was left out as a duplicate.
#[derive(Debug, Serialize)]
pub(crate) struct Dropped {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) line: u64,
}

/// Duplicates that the report lists; all are counted.
const LISTED: usize = 1000;

impl Total {
    fn add(&mut self, size: Size) {
        self.documents += 1;
        self.bytes += size.bytes;
        self.characters += size.characters;
    }
}

impl Totals {
    fn of(&mut self, split: Split) -> &mut Total {
        match split {
            Split::Train => &mut self.train,
            Split::Validation => &mut self.validation,
        }
    }

    fn list(&mut self, draft: &Draft<'_>) {
        if self.duplicates.len() < LISTED {
            let (id, source) = (draft.id.to_string(), draft.source.name.clone());
            self.duplicates.push(Dropped { id, source, line: draft.line });
        }
    }

    /// The stage's metrics.
    pub(crate) fn metrics(&self, findings: &Findings) -> Metrics {
        let Self { train, validation, .. } = self;
        let numbers = [
            ("documents", train.documents + validation.documents),
            ("bytes", train.bytes + validation.bytes),
            ("characters", train.characters + validation.characters),
            ("train_documents", train.documents),
            ("train_bytes", train.bytes),
            ("train_characters", train.characters),
            ("validation_documents", validation.documents),
            ("validation_bytes", validation.bytes),
            ("validation_characters", validation.characters),
            ("duplicates", findings.kept.duplicates()),
            ("short", findings.short),
            ("overlapping", findings.overlapping),
            ("bad_records", findings.bad.count()),
        ];
        numbers.into_iter().map(|(name, number)| (name.to_owned(), Value::from(number))).collect()
    }
}

/// The second pass.
pub(crate) fn write(job: &Job<'_>, findings: &Findings) -> Result<Totals, CorpusError> {
    let seed = job.context.seed;
    let splitter = Splitter::new(job.settings, seed, findings.range, findings.kept.count());
    let [mut train, mut validation] = writers(job)?;
    let (mut totals, mut position) = (Totals::default(), 0);
    let counts = walk(job, "writing", None, &mut |draft| {
        if !findings.kept.contains(draft.number) {
            totals.list(&draft);
            return Ok(());
        }
        let split = splitter.split(draft.content.body.side(), position);
        position += 1;
        if split == Split::Validation {
            totals.of(split).add(draft.content.body.size());
            return write_one(draft, &mut validation);
        }
        for copy in 0..copies(job, &draft) {
            totals.of(split).add(draft.content.body.size());
            // What is there more than once has more than one name.
            let id = crate::DocumentId(draft.id.0.wrapping_add(u128::from(copy)));
            write_one(Draft { id, content: draft.content.clone(), ..draft }, &mut train)?;
        }
        Ok(())
    })?;
    if counts.drafts != findings.drafts {
        return Err(changed(&job.sources));
    }
    train.finish()?;
    validation.finish()?;
    Ok(totals)
}

/// How often the training split has a document: the whole part of its source's weight, and once more with the chance of the rest.
fn copies(job: &Job<'_>, draft: &Draft<'_>) -> u64 {
    let at = job.sources.iter().position(|source| std::ptr::eq(source, draft.source));
    let weight = at.and_then(|at| job.weights.get(at)).copied().unwrap_or(1.0);
    let drawn = finalise(finalise(job.context.seed) ^ draft.id.0 as u64) % 1_000_000;
    weight as u64 + u64::from((drawn as f64) < weight.fract() * 1e6)
}

fn writers(job: &Job<'_>) -> Result<[LineWriter; 2], CorpusError> {
    let [train, validation] = Split::ALL.map(|split| LineWriter::create(&split.file(job.context.out())));
    Ok([train?, validation?])
}

fn changed(sources: &[Source]) -> CorpusError {
    let path = sources.first().map(|source| source.path.clone()).unwrap_or_default();
    CorpusError::malformed(&path, 0, "this or another source changed while it was being read")
}

fn write_one(draft: Draft<'_>, writer: &mut LineWriter) -> Result<(), CorpusError> {
    let mut meta = draft.content.meta;
    meta.insert("source".to_owned(), Value::from(draft.source.name.as_str()));
    meta.insert("line".to_owned(), Value::from(draft.line));
    if let Some(part) = draft.part {
        meta.insert("part".to_owned(), Value::from(part));
    }
    write_body(draft.id, draft.content.body, meta, writer)
}

fn write_body(
    id: crate::DocumentId,
    body: Body,
    meta: Map<String, Value>,
    writer: &mut LineWriter,
) -> Result<(), CorpusError> {
    match body {
        Body::Text(text) => writer.write(&Document { id, text, meta }),
        Body::Answers(answers) => writer.write(&Preference { id, answers, meta }),
        Body::Example(task) => writer.write(&Example { id, task, meta }),
        Body::Messages(messages) => writer.write(&Conversation { id, messages, meta }),
    }
}
