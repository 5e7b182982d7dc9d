//! `report.json`: what was dropped, where and why.

use std::path::Path;

use serde::Serialize;

use super::Job;
use super::pass::Findings;
use super::write::{Dropped, Total, Totals};
use crate::error::CorpusError;

/// A record that could not be used.
#[derive(Debug, Serialize)]
pub(crate) struct Bad {
    pub(crate) source: String,
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// All bad records, up to the limit.
pub(crate) struct BadLog {
    limit: u64,
    records: Vec<Bad>,
}

impl BadLog {
    pub(crate) fn new(limit: u64) -> Self {
        Self { limit, records: Vec::new() }
    }

    /// Notes one more, and fails where that is one too many.
    pub(crate) fn add(&mut self, bad: Bad, path: &Path) -> Result<(), CorpusError> {
        let count = self.count() + 1;
        if count > self.limit {
            let Bad { line, reason, .. } = bad;
            return Err(CorpusError::TooManyBad { path: path.to_owned(), line, reason, count, limit: self.limit });
        }
        self.records.push(bad);
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.records.len() as u64
    }
}

#[derive(Serialize)]
struct Report<'a> {
    sources: Vec<SourceLine<'a>>,
    train: Total,
    validation: Total,
    /// Records below `min_characters`.
    short: u64,
    /// Records with something of what must not be read.
    overlapping: u64,
    duplicates: u64,
    /// The first of them; the document that stays is the first with that text.
    duplicates_listed: &'a [Dropped],
    bad_records: &'a [Bad],
}

#[derive(Serialize)]
struct SourceLine<'a> {
    name: &'a str,
    bytes: u64,
}

/// Writes it beside the splits.
pub(crate) fn write(job: &Job<'_>, findings: &Findings, totals: &Totals) -> Result<(), CorpusError> {
    let path = job.context.out().join("report.json");
    let report = Report {
        sources: job.sources.iter().map(|s| SourceLine { name: &s.name, bytes: s.bytes }).collect(),
        train: totals.train,
        validation: totals.validation,
        short: findings.short,
        overlapping: findings.overlapping,
        duplicates: findings.kept.duplicates(),
        duplicates_listed: &totals.duplicates,
        bad_records: &findings.bad.records,
    };
    let mut text = serde_json::to_vec_pretty(&report)
        .map_err(|error| CorpusError::Io { path: path.clone(), source: error.into() })?;
    text.push(b'\n');
    std::fs::write(&path, text).map_err(CorpusError::io(&path))
}
