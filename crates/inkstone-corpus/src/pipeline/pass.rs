//! One walk over all records, and the first of the two passes.

use std::cell::Cell;
use std::rc::Rc;

use super::dedup::{Duplicates, Kept};
use super::report::{Bad, BadLog};
use super::split::Range;
use super::{Body, Job, Part};
use crate::document::DocumentId;
use crate::error::CorpusError;
use crate::read::open::{Watch, open_text};
use crate::read::source::Source;
use crate::read::{Content, Format, Place, ReadOptions, Sink, read_records};

/// A document on its way, with where it came from.
pub(crate) struct Draft<'a> {
    /// Number among all drafts, from 0.
    pub(crate) number: u64,
    pub(crate) id: DocumentId,
    pub(crate) source: &'a Source,
    pub(crate) line: u64,
    /// Which part of its record, `None` if it is the whole.
    pub(crate) part: Option<u32>,
    pub(crate) content: Part,
}

/// What the first pass found.
pub(crate) struct Findings {
    pub(crate) bad: BadLog,
    pub(crate) short: u64,
    /// Those that say what must not be read.
    pub(crate) overlapping: u64,
    /// Drafts that are long enough.
    pub(crate) drafts: u64,
    pub(crate) kept: Kept,
    pub(crate) range: Range,
}

/// The first pass.
pub(crate) fn survey(job: &Job<'_>) -> Result<Findings, CorpusError> {
    let mut bad = BadLog::new(job.settings.max_bad_records);
    let mut duplicates = Duplicates::new(&job.context.state().join("duplicates"), job.settings.deduplicate)?;
    let mut range = Range::default();
    let seed = job.context.seed;
    let counts = walk(job, "reading", Some(&mut bad), &mut |draft| {
        let hash = draft.content.body.hash();
        range.add(draft.content.body.side(), seed);
        duplicates.add(hash, draft.number)
    })?;
    refuse_nothing(job, &bad, counts)?;
    let kept = duplicates.finish(counts.drafts)?;
    let Counts { drafts, short, overlapping } = counts;
    Ok(Findings { bad, short, overlapping, drafts, kept, range })
}

fn refuse_nothing(job: &Job<'_>, bad: &BadLog, counts: Counts) -> Result<(), CorpusError> {
    match (counts.drafts, counts.short + counts.overlapping + bad.count()) {
        (0, 0) => Err(CorpusError::Empty { sources: job.sources.len(), bytes: job.source_bytes() }),
        (0, _) => Err(CorpusError::AllDropped { short: counts.short, bad: bad.count() }),
        _ => Ok(()),
    }
}

/// What a walk counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) drafts: u64,
    pub(crate) short: u64,
    pub(crate) overlapping: u64,
}

/// Hands every draft that is long enough to `take`, in the order of the sources.
pub(crate) fn walk(
    job: &Job<'_>,
    name: &str,
    mut bad: Option<&mut BadLog>,
    take: &mut dyn FnMut(Draft<'_>) -> Result<(), CorpusError>,
) -> Result<Counts, CorpusError> {
    let task = job.context.progress.task(name, Some(job.source_bytes()), "B");
    let watch = Rc::new(Watch { task: task.as_ref(), interrupt: job.context.interrupt, done: Cell::new(0) });
    let mut counts = Counts::default();
    for source in &job.sources {
        let sink = &mut Walker { job, source, bad: bad.as_deref_mut(), take, counts: &mut counts, parts: Vec::new() };
        let read = read_source(job, source, &watch, sink);
        // The reader under the parsers can only say that it failed, not that it was told to.
        if job.context.interrupt.requested() {
            return Err(CorpusError::Interrupted);
        }
        read?;
    }
    Ok(counts)
}

fn read_source(job: &Job<'_>, source: &Source, watch: &Rc<Watch<'_>>, sink: &mut dyn Sink) -> Result<(), CorpusError> {
    if source.format == Format::Parquet {
        let file = std::fs::File::open(&source.path).map_err(CorpusError::io(&source.path))?;
        crate::read::parquet::read_parquet(file, &source.path, job.columns.as_deref(), sink)?;
        return watch.advance(source.bytes).map_err(CorpusError::io(&source.path));
    }
    let mut reader = open_text(&source.path, watch)?;
    let Job { settings, .. } = job;
    let (path, format) = (source.path.as_path(), source.format);
    let options = ReadOptions { path, format, unit: settings.unit, max_document_bytes: settings.max_document_bytes };
    read_records(&mut reader, &options, sink)
}

struct Walker<'a, 'b> {
    job: &'a Job<'a>,
    source: &'a Source,
    bad: Option<&'b mut BadLog>,
    take: &'b mut dyn FnMut(Draft<'_>) -> Result<(), CorpusError>,
    counts: &'b mut Counts,
    parts: Vec<Part>,
}

impl Sink for Walker<'_, '_> {
    fn record(&mut self, place: Place, content: Content<'_>) -> Result<(), CorpusError> {
        if place.record.is_multiple_of(256) && self.job.context.interrupt.requested() {
            return Err(CorpusError::Interrupted);
        }
        let mut parts = std::mem::take(&mut self.parts);
        match (self.job.prepare)(content, &mut parts) {
            Ok(()) => self.take_parts(place, &mut parts)?,
            Err(reason) => self.bad(place, reason)?,
        }
        parts.clear();
        self.parts = parts;
        Ok(())
    }

    fn bad(&mut self, place: Place, reason: String) -> Result<(), CorpusError> {
        let Some(log) = &mut self.bad else {
            return Ok(());
        };
        let bad = Bad { source: self.source.name.clone(), line: place.line, reason };
        self.job.context.progress.warn(&format!("{}:{}: {} (left out)", bad.source, bad.line, bad.reason));
        log.add(bad, &self.source.path)
    }
}

impl Walker<'_, '_> {
    fn take_parts(&mut self, place: Place, parts: &mut Vec<Part>) -> Result<(), CorpusError> {
        let whole = parts.len() == 1;
        for (part, content) in (0..).zip(parts.drain(..)) {
            if is_short(&content.body, self.job.settings.min_characters) {
                self.counts.short += 1;
                continue;
            }
            if self
                .job
                .apart_from
                .as_ref()
                .is_some_and(|apart| content.body.texts().iter().any(|text| apart.contains(text)))
            {
                self.counts.overlapping += 1;
                continue;
            }
            let id = DocumentId::new(&self.source.name, place.record, part);
            let (number, source) = (self.counts.drafts, self.source);
            self.counts.drafts += 1;
            let part = (!whole).then_some(part);
            (self.take)(Draft { number, id, source, line: place.line, part, content })?;
        }
        Ok(())
    }
}

fn is_short(body: &Body, min: u64) -> bool {
    min > 0 && body.is_shorter_than(min)
}
