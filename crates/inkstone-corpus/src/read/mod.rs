//! Readers of files that others wrote: a stream of bytes in, records out, in bounded memory.

pub(crate) mod encoding;
pub(crate) mod json;
pub(crate) mod lines;
pub(crate) mod open;
pub(crate) mod parquet;
pub(crate) mod source;
pub(crate) mod table;
pub(crate) mod text;

use std::io::BufRead;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::CorpusError;

/// The longest record of a structured format; a longer one is bad.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// How a file is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Told from the extension of each file.
    #[default]
    Auto,
    /// Plain text.
    Text,
    /// One JSON object a line.
    Jsonl,
    /// An array of JSON objects (or objects one after the other).
    Json,
    /// Comma-separated values with a header line.
    Csv,
    /// Tab-separated values with a header line.
    Tsv,
    /// Apache Parquet; string columns are read.
    Parquet,
}

/// What one document of a plain text is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// A whole file, cut where it exceeds the largest document.
    #[default]
    File,
    /// What stands between blank lines.
    Paragraph,
    /// A line.
    Line,
    /// As many whole lines as fit into the largest document, one such piece after the other.
    Piece,
}

/// What a reader must know beside the bytes.
#[derive(Debug, Clone, Copy)]
pub struct ReadOptions<'a> {
    /// The file's path, for error messages.
    pub path: &'a Path,
    /// How it is written; not [`Format::Auto`], and [`Format::Parquet`] only for files.
    pub format: Format,
    /// What a document of a plain text is.
    pub unit: Unit,
    /// Size above which plain text is cut, in bytes (at least 16).
    pub max_document_bytes: usize,
}

/// What a record holds.
#[derive(Debug)]
pub enum Content<'a> {
    /// A plain text.
    Text(&'a str),
    /// An object of a structured format.
    Value(Value),
}

/// Where a record stands: its number from 0, and its line from 1 (for formats without lines, its
/// number from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Number of the record in its source, from 0, bad ones counted.
    pub record: u64,
    /// Line, from 1.
    pub line: u64,
}

/// Takes what a reader finds. An error ends the reading.
pub trait Sink {
    /// A record.
    fn record(&mut self, place: Place, content: Content<'_>) -> Result<(), CorpusError>;
    /// A place that can't be read; the reader goes on behind it.
    fn bad(&mut self, place: Place, reason: String) -> Result<(), CorpusError>;
}

/// Reads all records of `reader`, which begins behind a byte order mark if there is one.
///
/// # Errors
/// What `sink` returns, what reading returns, and damage that hides where the next record begins.
pub fn read_records(
    reader: &mut dyn BufRead,
    options: &ReadOptions<'_>,
    sink: &mut dyn Sink,
) -> Result<(), CorpusError> {
    match options.format {
        Format::Jsonl => json::read_jsonl(reader, options.path, sink),
        Format::Json => json::read_json(reader, options.path, sink),
        Format::Csv => table::read_table(reader, b',', options.path, sink),
        Format::Tsv => table::read_table(reader, b'\t', options.path, sink),
        Format::Auto | Format::Text | Format::Parquet => text::read_text(reader, options, sink),
    }
}
