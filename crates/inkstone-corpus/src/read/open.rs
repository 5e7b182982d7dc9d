//! Opening a source: decompression, encoding, progress and the wish to stop.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;
use std::rc::Rc;

use inkstone_recipe::{Interrupt, Task};

use super::encoding;
use crate::error::CorpusError;

/// How much of a text is looked at to tell its encoding.
const SAMPLE_BYTES: u64 = 64 << 10;

/// Told of every read of a source's own (compressed) bytes.
pub(crate) struct Watch<'a> {
    pub(crate) task: &'a dyn Task,
    pub(crate) interrupt: &'a Interrupt,
    pub(crate) done: std::cell::Cell<u64>,
}

impl Watch<'_> {
    /// `bytes` more were read.
    pub(crate) fn advance(&self, bytes: u64) -> io::Result<()> {
        self.done.set(self.done.get() + bytes);
        self.task.set(self.done.get());
        if self.interrupt.requested() { Err(io::Error::other("stopped on request")) } else { Ok(()) }
    }
}

struct Watched<'a> {
    file: File,
    watch: Rc<Watch<'a>>,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.watch.advance(count as u64)?;
        Ok(count)
    }
}

/// The text of a file, decompressed by its extension, behind its byte order mark.
pub(crate) fn open_text<'a>(path: &Path, watch: &Rc<Watch<'a>>) -> Result<Box<dyn BufRead + 'a>, CorpusError> {
    let file = File::open(path).map_err(CorpusError::io(path))?;
    let watched = Watched { file, watch: Rc::clone(watch) };
    let mut reader: Box<dyn Read + 'a> = match compression(path) {
        Some(Compression::Gzip) => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(watched))),
        Some(Compression::Zstd) => {
            Box::new(zstd::stream::read::Decoder::with_buffer(buffered(watched)).map_err(CorpusError::io(path))?)
        }
        None => Box::new(watched),
    };
    let mut sample = Vec::new();
    reader.by_ref().take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(CorpusError::io(path))?;
    let mark = encoding::check(&sample).map_err(|guess| CorpusError::Encoding { path: path.to_owned(), guess })?;
    sample.drain(..mark);
    Ok(Box::new(buffered(Cursor::new(sample).chain(reader))))
}

fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(128 << 10, reader)
}

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

/// Told from the last extension.
pub(crate) fn compression(path: &Path) -> Option<Compression> {
    let extension = path.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "gz" => Some(Compression::Gzip),
        "zst" | "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}
