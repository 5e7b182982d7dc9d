//! Comma- and tab-separated values with a header line.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::path::Path;

use serde_json::{Map, Value};

use super::{Content, MAX_RECORD_BYTES, Place, Sink, encoding};
use crate::error::CorpusError;

/// Reads rows as objects of strings, keyed by the header. A row with another number of fields than
/// the header is bad.
pub(crate) fn read_table(
    reader: &mut dyn BufRead,
    delimiter: u8,
    path: &Path,
    sink: &mut dyn Sink,
) -> Result<(), CorpusError> {
    let since_row = Cell::new(0);
    let limited = Limited { reader, since_row: &since_row };
    let mut table = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(limited);
    let header = header(table.byte_headers().map_err(|error| broken(path, &error))?, path)?;
    let mut row = csv::ByteRecord::new();
    for record in 0.. {
        since_row.set(0);
        if !table.read_byte_record(&mut row).map_err(|error| broken(path, &error))? {
            break;
        }
        let line = row.position().map_or(0, csv::Position::line);
        match object(&header, &row) {
            Ok(value) => sink.record(Place { record, line }, Content::Value(value))?,
            Err(reason) => sink.bad(Place { record, line }, reason)?,
        }
    }
    Ok(())
}

fn header(row: &csv::ByteRecord, path: &Path) -> Result<Vec<String>, CorpusError> {
    let name = |field: &[u8]| String::from_utf8(field.to_vec());
    let names: Result<Vec<_>, _> = row.iter().map(name).collect();
    names.map_err(|error| {
        CorpusError::malformed(
            path,
            1,
            format!("the header is {}", encoding::complaint(error.utf8_error(), error.as_bytes())),
        )
    })
}

fn object(header: &[String], row: &csv::ByteRecord) -> Result<Value, String> {
    if row.len() != header.len() {
        return Err(format!("{} fields, where the header has {}", row.len(), header.len()));
    }
    let mut object = Map::new();
    for (name, field) in header.iter().zip(row) {
        let text = std::str::from_utf8(field).map_err(|error| encoding::complaint(error, field))?;
        object.insert(name.clone(), Value::from(text));
    }
    Ok(Value::Object(object))
}

fn broken(path: &Path, error: &csv::Error) -> CorpusError {
    let line = error.position().map_or(0, csv::Position::line);
    CorpusError::malformed(path, line, format!("{error}"))
}

/// Stops a row without end, e.g. one in which a quote is never closed.
struct Limited<'a> {
    reader: &'a mut dyn BufRead,
    since_row: &'a Cell<usize>,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.since_row.set(self.since_row.get() + count);
        if self.since_row.get() > MAX_RECORD_BYTES {
            return Err(io::Error::other("a row is longer than 64 MiB; is a quote never closed?"));
        }
        Ok(count)
    }
}
