//! Reading a shard through memory maps.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::INDEX_ENTRY;
use super::header::{Header, ShardSummary};
use crate::document::{DocumentId, Split};
use crate::error::CorpusError;

/// The tokens of one split. Cheap to open; pages are read when they are touched.
pub struct TokenShard {
    vocab_size: usize,
    token_bytes: usize,
    summary: ShardSummary,
    tokens: Mapped,
    index: Mapped,
    mask: Option<Mapped>,
}

/// Where a document is in its shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDocument {
    /// Its name in the corpus.
    pub id: DocumentId,
    /// Its tokens, counted from the beginning of the shard.
    pub range: Range<u64>,
}

impl TokenDocument {
    /// How many tokens it has.
    pub fn n_tokens(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl TokenShard {
    /// Maps the shard of a split, compares the sizes of its files with the header and walks over
    /// the boundaries of the documents.
    ///
    /// # Errors
    /// If a file is missing or not what the header says; the error names it. Flipped bits in the
    /// tokens are found by [`check`](Self::check) alone.
    pub fn open(folder: &Path, split: Split) -> Result<Self, CorpusError> {
        let header = Header::read(folder)?;
        let summary = header.splits.get(&split).cloned().ok_or_else(|| CorpusError::Shard {
            path: folder.join(super::HEADER_FILE),
            what: "splits",
            expected: split.name().to_owned(),
            got: "none of that name".to_owned(),
        })?;
        let map = |part: &'static str, count: u64, width: usize| {
            Mapped::open(folder.join(format!("{}.{part}", split.name())), part, (count, width))
        };
        let shard = Self {
            vocab_size: header.vocab_size,
            token_bytes: header.token_bytes,
            tokens: map("tokens", summary.tokens, header.token_bytes)?,
            index: map("index", summary.documents, INDEX_ENTRY)?,
            mask: summary.masked.then(|| map("mask", summary.tokens, 1)).transpose()?,
            summary,
        };
        shard.check_boundaries()?;
        Ok(shard)
    }

    /// Whether the documents cover the tokens without gap or overlap.
    fn check_boundaries(&self) -> Result<(), CorpusError> {
        let mut before = 0;
        for (number, entry) in self.index.bytes().chunks_exact(INDEX_ENTRY).enumerate() {
            let start = first_u64(entry);
            let first = if number == 0 { 0 } else { self.n_tokens() };
            if start < before || start > first {
                let (expected, got) = (format!("{before} or more"), start.to_string());
                return Err(self.wrong_index("beginning of a document", expected, got));
            }
            before = start;
        }
        if self.index.bytes().is_empty() && self.n_tokens() > 0 {
            return Err(self.wrong_index("documents", "at least 1".to_owned(), "0".to_owned()));
        }
        Ok(())
    }

    fn wrong_index(&self, what: &'static str, expected: String, got: String) -> CorpusError {
        CorpusError::Shard { path: self.index.path.clone(), what, expected, got }
    }

    /// Reads everything and compares it with the hashes of the header. A program that trains on
    /// the shard does this first: a flipped bit may be an id outside of the vocabulary.
    ///
    /// # Errors
    /// If a file is not what was written; the error names it.
    pub fn check(&self) -> Result<(), CorpusError> {
        for file in [Some(&self.tokens), Some(&self.index), self.mask.as_ref()].into_iter().flatten() {
            let expected = self.summary.blake3.get(file.part).cloned().unwrap_or_default();
            let got = blake3::hash(file.bytes()).to_hex().to_string();
            if expected != got {
                return Err(CorpusError::Shard { path: file.path.clone(), what: "BLAKE3", expected, got });
            }
        }
        Ok(())
    }

    /// Tokens in all.
    pub fn n_tokens(&self) -> u64 {
        self.summary.tokens
    }

    /// Documents, those without a token too.
    pub fn n_documents(&self) -> usize {
        self.summary.documents as usize
    }

    /// All token ids are below.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// Whether each token says if it is to be learnt.
    pub fn is_masked(&self) -> bool {
        self.mask.is_some()
    }

    /// What the header says of this split.
    pub fn summary(&self) -> &ShardSummary {
        &self.summary
    }

    /// The token file.
    pub fn path(&self) -> &Path {
        &self.tokens.path
    }

    /// Document number `number`, in the order of writing.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn document(&self, number: usize) -> TokenDocument {
        let entry = &self.index.bytes()[number * INDEX_ENTRY..(number + 1) * INDEX_ENTRY];
        let mut id = [0; 16];
        id.copy_from_slice(&entry[8..]);
        TokenDocument { id: DocumentId(u128::from_le_bytes(id)), range: self.range(number) }
    }

    /// The tokens of a document, which [`open`](Self::open) found to be in order.
    pub(crate) fn range(&self, number: usize) -> Range<u64> {
        let start = self.start(number);
        let last = number + 1 >= self.n_documents();
        let end = if last { self.n_tokens() } else { self.start(number + 1) };
        start..end
    }

    fn start(&self, number: usize) -> u64 {
        first_u64(&self.index.bytes()[number * INDEX_ENTRY..])
    }

    /// The document to which a token (counted from the beginning of the shard) belongs, `None`
    /// behind the end.
    pub fn trace(&self, token: u64) -> Option<(usize, DocumentId)> {
        if token >= self.n_tokens() {
            return None;
        }
        let (mut low, mut high) = (0, self.n_documents());
        while low + 1 < high {
            let middle = low.midpoint(high);
            if self.start(middle) <= token {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some((low, self.document(low).id))
    }

    /// The id of one token.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn token(&self, token: u64) -> u32 {
        let (at, bytes) = (token as usize * self.token_bytes, self.tokens.bytes());
        if self.token_bytes == 2 {
            u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
        } else {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        }
    }

    /// The ids of a range of tokens.
    ///
    /// # Panics
    /// If there are not as many.
    pub fn tokens(&self, range: Range<u64>) -> impl Iterator<Item = u32> {
        range.map(|token| self.token(token))
    }

    /// Whether a token is to be learnt.
    pub fn is_learnt(&self, token: u64) -> bool {
        self.mask.as_ref().is_none_or(|mask| mask.bytes()[token as usize] != 0)
    }
}

fn first_u64(bytes: &[u8]) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[..8]);
    u64::from_le_bytes(number)
}

/// A file in memory. An empty one can't be mapped.
struct Mapped {
    path: PathBuf,
    part: &'static str,
    map: Option<Mmap>,
}

impl Mapped {
    /// Opens a file of `count` entries of `width` bytes.
    fn open(path: PathBuf, part: &'static str, (count, width): (u64, usize)) -> Result<Self, CorpusError> {
        let file = File::open(&path).map_err(CorpusError::io(&path))?;
        let got = file.metadata().map_err(CorpusError::io(&path))?.len();
        if count.checked_mul(width as u64) != Some(got) {
            let expected = count.saturating_mul(width as u64).to_string();
            return Err(CorpusError::Shard { path, what: "size in bytes", expected, got: got.to_string() });
        }
        let map = if got == 0 { None } else { Some(map(&file).map_err(CorpusError::io(&path))?) };
        Ok(Self { path, part, map })
    }

    fn bytes(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

#[allow(unsafe_code, reason = "memory maps have no safe constructor")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only, and a shard lies in an artifact, which nobody writes to once
    // it is in its place. Only bytes are read from it, all of whose values are valid.
    unsafe { Mmap::map(file) }
}
