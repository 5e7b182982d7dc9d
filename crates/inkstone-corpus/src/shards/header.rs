//! `tokens.json`: what the files beside it must be.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::HEADER_FILE;
use crate::document::Split;
use crate::error::CorpusError;

/// The largest header that is read.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// The content of `tokens.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of this layout, 1.
    pub format: u32,
    /// All token ids are below.
    pub vocab_size: usize,
    /// Bytes of a token, 2 or 4.
    pub token_bytes: usize,
    /// What each split holds.
    pub splits: BTreeMap<Split, ShardSummary>,
}

/// What one split holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardSummary {
    /// Documents.
    pub documents: u64,
    /// Tokens.
    pub tokens: u64,
    /// Tokens that are to be learnt: those of the mask, or all.
    pub loss_tokens: u64,
    /// Tokens of the longest document.
    pub longest_document: u64,
    /// Whether there is a mask.
    pub masked: bool,
    /// BLAKE3 of each file, by the last part of its name.
    pub blake3: BTreeMap<String, String>,
}

impl Header {
    /// How many bytes a token of such a vocabulary takes.
    pub(super) fn token_bytes(vocab_size: usize) -> usize {
        if vocab_size <= 1 << 16 { 2 } else { 4 }
    }

    /// Reads the header of a folder.
    ///
    /// # Errors
    /// If there is none, or it is not one of this version.
    pub fn read(folder: &Path) -> Result<Self, CorpusError> {
        let path = folder.join(HEADER_FILE);
        let bytes = std::fs::metadata(&path).map_err(CorpusError::io(&path))?.len();
        if bytes > MAX_HEADER_BYTES {
            return Err(CorpusError::malformed(&path, 1, "too large for a header"));
        }
        let text = std::fs::read(&path).map_err(CorpusError::io(&path))?;
        let header: Self = serde_json::from_slice(&text)
            .map_err(|error| CorpusError::malformed(&path, error.line() as u64, error.to_string()))?;
        header.check(&path)?;
        Ok(header)
    }

    fn check(&self, path: &Path) -> Result<(), CorpusError> {
        let wrong = |what, expected: String, got: String| {
            Err(CorpusError::Shard { path: path.to_owned(), what, expected, got })
        };
        let width = Self::token_bytes(self.vocab_size);
        match self {
            Self { format, .. } if *format != 1 => {
                wrong("version of the layout (a newer program wrote this)", "1".to_owned(), format.to_string())
            }
            Self { token_bytes, .. } if *token_bytes != width => {
                wrong("bytes of a token", width.to_string(), token_bytes.to_string())
            }
            _ => Ok(()),
        }
    }

    /// Adds a split to the header of `folder`, which the first split creates.
    pub(super) fn add(
        folder: &Path,
        vocab_size: usize,
        split: Split,
        summary: &ShardSummary,
    ) -> Result<(), CorpusError> {
        let path = folder.join(HEADER_FILE);
        let mut header = match Self::read(folder) {
            Err(CorpusError::NotFound { .. }) => {
                let token_bytes = Self::token_bytes(vocab_size);
                Self { format: 1, vocab_size, token_bytes, splits: BTreeMap::new() }
            }
            other => other?,
        };
        if header.vocab_size != vocab_size {
            let (expected, got) = (header.vocab_size.to_string(), vocab_size.to_string());
            return Err(CorpusError::Shard { path, what: "vocabulary of the other split", expected, got });
        }
        header.splits.insert(split, summary.clone());
        header.write(&path)
    }

    fn write(&self, path: &Path) -> Result<(), CorpusError> {
        let aside = path.with_extension("json.partial");
        let write = || {
            let mut file = std::fs::File::create(&aside)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&aside, path)
        };
        write().map_err(CorpusError::io(path))
    }
}
