//! Documents with stable ids, the two splits, and the files that hold them.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::error::CorpusError;
use crate::read::lines::{LineEnd, LineReader};

/// The longest line of a split's file; a document is cut long before.
const MAX_LINE_BYTES: usize = 1 << 30;

/// 128 bits that name a document: BLAKE3 of the source's name and the position in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DocumentId(pub u128);

impl DocumentId {
    /// The id of part `part` of record `record` (both from 0) of the source called `name`.
    pub fn new(name: &str, record: u64, part: u32) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
        hasher.update(&record.to_le_bytes()).update(&part.to_le_bytes());
        Self(first_128_bits(&hasher.finalize()))
    }
}

/// The first 16 bytes of a hash, as a number.
pub(crate) fn first_128_bits(hash: &blake3::Hash) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_be_bytes(bytes)
}

impl std::fmt::Display for DocumentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::str::FromStr for DocumentId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hexadecimal = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let digits = hexadecimal.then(|| u128::from_str_radix(text, 16).ok()).flatten();
        digits.map(Self).ok_or_else(|| format!("`{text}` is not a document id (32 hexadecimal digits)"))
    }
}

impl Serialize for DocumentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DocumentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A text with its name and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Its stable name.
    pub id: DocumentId,
    /// Its text, normalised.
    pub text: String,
    /// `source` and `line` (for formats without lines the number of the record), `part` where a
    /// long text was cut, and whatever the record's own `meta` said.
    #[serde(default)]
    pub meta: Map<String, Value>,
}

/// What a document is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Learnt from.
    Train,
    /// Measured on.
    Validation,
}

impl Split {
    /// Both, in the order in which they are written.
    pub const ALL: [Self; 2] = [Self::Train, Self::Validation];

    /// The first part of its file names.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
        }
    }

    pub(crate) fn file(self, artifact: &Path) -> PathBuf {
        artifact.join(format!("{}.jsonl.zst", self.name()))
    }
}

/// The documents of one split of a `corpus` artifact, one at a time.
///
/// # Errors
/// If the file is missing or can't be opened; each item may tell of a damaged line.
pub fn read_documents(
    artifact: &Path,
    split: Split,
) -> Result<impl Iterator<Item = Result<Document, CorpusError>> + use<>, CorpusError> {
    read_lines_of(&split.file(artifact))
}

/// The values on the lines of a `.jsonl.zst` file that this crate wrote.
pub(crate) fn read_lines_of<T: DeserializeOwned>(path: &Path) -> Result<LinesOf<T>, CorpusError> {
    let file = File::open(path).map_err(CorpusError::io(path))?;
    let decoder = zstd::stream::read::Decoder::new(file).map_err(CorpusError::io(path))?;
    Ok(lines_of(path, Box::new(BufReader::with_capacity(1 << 16, decoder))))
}

/// The same of a file that is not compressed.
pub(crate) fn read_plain_lines_of<T: DeserializeOwned>(path: &Path) -> Result<LinesOf<T>, CorpusError> {
    let file = File::open(path).map_err(CorpusError::io(path))?;
    Ok(lines_of(path, Box::new(BufReader::new(file))))
}

fn lines_of<T>(path: &Path, reader: Box<dyn BufRead + Send>) -> LinesOf<T> {
    LinesOf { path: path.to_owned(), lines: LineReader::new(reader), ended: false, value: std::marker::PhantomData }
}

/// Iterator of [`read_lines_of`]; it ends after the first error.
pub(crate) struct LinesOf<T> {
    path: PathBuf,
    lines: LineReader<Box<dyn BufRead + Send>>,
    ended: bool,
    value: std::marker::PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> LinesOf<T> {
    fn read(&mut self) -> Result<Option<T>, CorpusError> {
        let end = self.lines.next(MAX_LINE_BYTES).map_err(CorpusError::io(&self.path))?;
        let line = self.lines.number();
        match end {
            LineEnd::None => Ok(None),
            LineEnd::Cut => Err(CorpusError::malformed(&self.path, line, "the line is too long")),
            LineEnd::Newline | LineEnd::Last => serde_json::from_slice(self.lines.line())
                .map(Some)
                .map_err(|error| CorpusError::malformed(&self.path, line, error.to_string())),
        }
    }
}

impl<T: DeserializeOwned> Iterator for LinesOf<T> {
    type Item = Result<T, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.read().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

/// Writes one split's file: one JSON value a line, zstd level 3 on one thread, so that the bytes
/// depend on the values only.
pub(crate) struct LineWriter {
    path: PathBuf,
    encoder: zstd::stream::write::Encoder<'static, BufWriter<File>>,
    line: Vec<u8>,
}

impl LineWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, CorpusError> {
        let file = File::create(path).map_err(CorpusError::io(path))?;
        let encoder = zstd::stream::write::Encoder::new(BufWriter::new(file), 3).map_err(CorpusError::io(path))?;
        Ok(Self { path: path.to_owned(), encoder, line: Vec::new() })
    }

    pub(crate) fn write<T: Serialize>(&mut self, value: &T) -> Result<(), CorpusError> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, value)
            .map_err(|error| CorpusError::Io { path: self.path.clone(), source: error.into() })?;
        self.line.push(b'\n');
        self.encoder.write_all(&self.line).map_err(CorpusError::io(&self.path))
    }

    pub(crate) fn finish(self) -> Result<(), CorpusError> {
        let Self { path, encoder, .. } = self;
        let finish = || encoder.finish()?.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all();
        finish().map_err(CorpusError::io(&path))
    }
}
