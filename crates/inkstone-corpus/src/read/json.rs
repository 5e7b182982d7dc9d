//! JSON, one object a line or as an array.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::lines::{LineEnd, LineReader};
use super::{Content, MAX_RECORD_BYTES, Place, Sink, encoding};
use crate::error::CorpusError;

/// One JSON object a line; blank lines are passed over, a broken line is bad.
pub(crate) fn read_jsonl(reader: &mut dyn BufRead, path: &Path, sink: &mut dyn Sink) -> Result<(), CorpusError> {
    let mut lines = LineReader::new(reader);
    let mut record = 0;
    loop {
        let end = lines.next(MAX_RECORD_BYTES).map_err(CorpusError::io(path))?;
        let place = Place { record, line: lines.number() };
        match end {
            LineEnd::None => return Ok(()),
            LineEnd::Cut => {
                lines.skip_line().map_err(CorpusError::io(path))?;
                sink.bad(place, format!("the line is longer than {} MiB", MAX_RECORD_BYTES >> 20))?;
            }
            _ if lines.line().trim_ascii().is_empty() => continue,
            _ => match parse_line(lines.line()) {
                Ok(value) => sink.record(place, Content::Value(value))?,
                Err(reason) => sink.bad(place, reason)?,
            },
        }
        record += 1;
    }
}

fn parse_line(line: &[u8]) -> Result<Value, String> {
    let text = std::str::from_utf8(line).map_err(|error| encoding::complaint(error, line))?;
    serde_json::from_str(text).map_err(|error| {
        let what = if error.is_eof() { "the record is cut off" } else { "not JSON" };
        format!("{what}: {}", strip_line(&error.to_string()))
    })
}

/// The parser's own line number is always 1 here, and would only confuse.
fn strip_line(message: &str) -> String {
    message.replace(" at line 1 column", " at column")
}

/// An array of objects, or objects one after the other, never more than one in memory.
pub(crate) fn read_json(reader: &mut dyn BufRead, path: &Path, sink: &mut dyn Sink) -> Result<(), CorpusError> {
    let state = State { line: Cell::new(1), read: Cell::new(0) };
    let bytes = Metered { reader, state: &state };
    let mut parser = serde_json::Deserializer::from_reader(bytes);
    let mut walk = Walk { sink, state: &state, record: 0, failed: None };
    loop {
        match at_end(&mut parser, &mut walk) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                return Err(walk.failed.take().unwrap_or_else(|| broken(path, &state, &error)));
            }
        }
    }
}

/// Reads one value, unless only white space is left.
fn at_end<R: Read>(
    parser: &mut serde_json::Deserializer<serde_json::de::IoRead<R>>,
    walk: &mut Walk<'_>,
) -> serde_json::Result<bool> {
    // The first read tells whether anything is there at all: an empty file has no values.
    match parser.end() {
        Ok(()) => return Ok(true),
        Err(error) if error.is_io() || error.is_eof() => return Err(error),
        Err(_) => {}
    }
    parser.deserialize_any(walk).map(|()| false)
}

fn broken(path: &Path, state: &State, error: &serde_json::Error) -> CorpusError {
    if state.read.get() > MAX_RECORD_BYTES {
        let reason = format!("a record is longer than {} MiB", MAX_RECORD_BYTES >> 20);
        return CorpusError::malformed(path, state.line.get(), reason);
    }
    match error.io_error_kind() {
        Some(kind) => CorpusError::Io { path: path.to_owned(), source: kind.into() },
        None => CorpusError::malformed(path, error.line() as u64, format!("not JSON: {error}")),
    }
}

/// What the byte stream under the parser tells.
struct State {
    line: Cell<u64>,
    read: Cell<usize>,
}

/// Counts lines, and bytes since the last record, and stops a record without end.
struct Metered<'a> {
    reader: &'a mut dyn BufRead,
    state: &'a State,
}

impl Read for Metered<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let lines = buffer[..count].iter().map(|&b| u64::from(b == b'\n'));
        self.state.line.set(self.state.line.get() + lines.sum::<u64>());
        self.state.read.set(self.state.read.get() + count);
        if self.state.read.get() > MAX_RECORD_BYTES {
            return Err(io::Error::other("record too long"));
        }
        Ok(count)
    }
}

/// Hands every element to the sink.
struct Walk<'a> {
    sink: &'a mut dyn Sink,
    state: &'a State,
    record: u64,
    failed: Option<CorpusError>,
}

impl Walk<'_> {
    fn hand_over<E: serde::de::Error>(&mut self, line: u64, value: Value) -> Result<(), E> {
        let place = Place { record: self.record, line };
        self.record += 1;
        self.state.read.set(0);
        self.sink.record(place, Content::Value(value)).map_err(|error| {
            self.failed = Some(error);
            E::custom("stopped")
        })
    }
}

impl<'de> Visitor<'de> for &mut Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<(), A::Error> {
        while let Some((line, value)) = array.next_element_seed(Element(self.state))? {
            self.hand_over(line, value)?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        let line = self.state.line.get();
        let value = Value::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map_err(A::Error::custom)?;
        self.hand_over(line, value)
    }
}

/// A value and the line on which it begins.
struct Element<'a>(&'a State);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = (u64, Value);

    fn deserialize<D: serde::Deserializer<'de>>(self, parser: D) -> Result<Self::Value, D::Error> {
        let line = self.0.line.get();
        Ok((line, Value::deserialize(parser)?))
    }
}
