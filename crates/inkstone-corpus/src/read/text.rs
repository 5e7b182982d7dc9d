//! Plain text: files, paragraphs, lines and pieces.

use std::io::BufRead;

use super::lines::{LineEnd, LineReader};
use super::{Content, Place, ReadOptions, Sink, Unit, encoding};
use crate::error::CorpusError;

/// Reads documents of plain text. A line that is not UTF-8 is bad, and left out of its document.
pub(crate) fn read_text(
    reader: &mut dyn BufRead,
    options: &ReadOptions<'_>,
    sink: &mut dyn Sink,
) -> Result<(), CorpusError> {
    let max = options.max_document_bytes.max(16);
    let mut lines = LineReader::new(reader);
    let mut gatherer = Gatherer { unit: options.unit, max, text: String::new(), line: 1, record: 0, sink };
    loop {
        let end = lines.next(max).map_err(CorpusError::io(options.path))?;
        if end == LineEnd::None {
            return gatherer.flush();
        }
        match std::str::from_utf8(lines.line()) {
            Ok(text) => gatherer.add(text, lines.number(), end)?,
            Err(error) => gatherer.bad(lines.number(), encoding::complaint(error, lines.line()))?,
        }
    }
}

/// Puts lines together to documents.
struct Gatherer<'a> {
    unit: Unit,
    max: usize,
    text: String,
    line: u64,
    record: u64,
    sink: &'a mut dyn Sink,
}

impl Gatherer<'_> {
    fn add(&mut self, text: &str, line: u64, end: LineEnd) -> Result<(), CorpusError> {
        match self.unit {
            Unit::Line => self.emit_line(text, line),
            Unit::Paragraph => self.add_to_paragraph(text, line, end),
            Unit::File | Unit::Piece => self.append(text, line, end == LineEnd::Newline),
        }
    }

    fn emit_line(&mut self, text: &str, line: u64) -> Result<(), CorpusError> {
        let place = self.place(line);
        self.sink.record(place, Content::Text(text.strip_suffix('\r').unwrap_or(text)))
    }

    fn add_to_paragraph(&mut self, text: &str, line: u64, end: LineEnd) -> Result<(), CorpusError> {
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.trim().is_empty() {
            return self.flush();
        }
        self.append(text, line, end == LineEnd::Newline)
    }

    /// Appends whole, or first ends the document that has no room for it.
    fn append(&mut self, text: &str, line: u64, newline: bool) -> Result<(), CorpusError> {
        if self.text.len() + text.len() + usize::from(newline) > self.max {
            self.flush()?;
        }
        if self.text.is_empty() {
            self.line = line;
        }
        self.text.push_str(text);
        if newline {
            self.text.push('\n');
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), CorpusError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let (text, place) = (std::mem::take(&mut self.text), self.place(self.line));
        let whole = if self.unit == Unit::Paragraph { text.trim_end_matches('\n') } else { &text };
        self.sink.record(place, Content::Text(whole))?;
        self.text = text;
        self.text.clear();
        Ok(())
    }

    fn bad(&mut self, line: u64, reason: String) -> Result<(), CorpusError> {
        let place = self.place(line);
        self.sink.bad(place, reason)
    }

    fn place(&mut self, line: u64) -> Place {
        self.record += 1;
        Place { record: self.record - 1, line }
    }
}
