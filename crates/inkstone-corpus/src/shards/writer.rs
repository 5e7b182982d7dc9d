//! Writing a shard, aside first.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use super::header::{Header, ShardSummary};
use crate::document::{DocumentId, Split};
use crate::error::CorpusError;

/// What a shard will hold.
#[derive(Debug, Clone, Copy)]
pub struct ShardOptions {
    /// All token ids are below.
    pub vocab_size: usize,
    /// Whether each token says if it is to be learnt.
    pub masked: bool,
}

/// Writes the shard of one split, document by document. Nothing stands in its place before
/// [`finish`](Self::finish).
pub struct ShardWriter {
    folder: PathBuf,
    split: Split,
    options: ShardOptions,
    tokens: HashedFile,
    index: HashedFile,
    mask: Option<HashedFile>,
    summary: ShardSummary,
    bytes: Vec<u8>,
}

impl ShardWriter {
    /// Begins a shard in an existing folder.
    ///
    /// # Errors
    /// If the files can't be created.
    pub fn create(folder: &Path, split: Split, options: ShardOptions) -> Result<Self, CorpusError> {
        let file = |part: &str| HashedFile::create(&folder.join(format!("{}.{part}", split.name())));
        Ok(Self {
            folder: folder.to_owned(),
            split,
            options,
            tokens: file("tokens")?,
            index: file("index")?,
            mask: options.masked.then(|| file("mask")).transpose()?,
            summary: ShardSummary {
                documents: 0,
                tokens: 0,
                loss_tokens: 0,
                longest_document: 0,
                masked: options.masked,
                blake3: BTreeMap::new(),
            },
            bytes: Vec::new(),
        })
    }

    /// Appends a document. `mask` has one entry a token, true where it is to be learnt; without
    /// one, in a masked shard, all are.
    ///
    /// # Errors
    /// If an id is outside of the vocabulary, the mask is of another length (or the shard has
    /// none), or writing fails.
    pub fn push(&mut self, id: DocumentId, ids: &[u32], mask: Option<&[bool]>) -> Result<(), CorpusError> {
        self.check(id, ids, mask)?;
        let start = self.summary.tokens.to_le_bytes();
        self.index.write(&start)?;
        self.index.write(&id.0.to_le_bytes())?;
        self.push_tokens(ids)?;
        let learnt = self.push_mask(ids.len(), mask)?;
        self.summary.documents += 1;
        self.summary.tokens += ids.len() as u64;
        self.summary.loss_tokens += learnt;
        self.summary.longest_document = self.summary.longest_document.max(ids.len() as u64);
        Ok(())
    }

    fn check(&self, document: DocumentId, ids: &[u32], mask: Option<&[bool]>) -> Result<(), CorpusError> {
        let vocab_size = self.options.vocab_size;
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(CorpusError::TokenRange { document, id, vocab_size });
        }
        match mask {
            Some(_) if self.mask.is_none() => Err(self.wrong_mask("no mask".to_owned(), "a mask".to_owned())),
            Some(mask) if mask.len() != ids.len() => {
                Err(self.wrong_mask(ids.len().to_string(), mask.len().to_string()))
            }
            _ => Ok(()),
        }
    }

    fn wrong_mask(&self, expected: String, got: String) -> CorpusError {
        CorpusError::Shard { path: self.tokens.path.clone(), what: "mask of a document", expected, got }
    }

    fn push_tokens(&mut self, ids: &[u32]) -> Result<(), CorpusError> {
        self.bytes.clear();
        if Header::token_bytes(self.options.vocab_size) == 2 {
            self.bytes.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes()));
        } else {
            self.bytes.extend(ids.iter().flat_map(|&id| id.to_le_bytes()));
        }
        self.tokens.write(&self.bytes)
    }

    /// Returns how many tokens are to be learnt.
    fn push_mask(&mut self, length: usize, mask: Option<&[bool]>) -> Result<u64, CorpusError> {
        let Some(file) = &mut self.mask else {
            return Ok(length as u64);
        };
        self.bytes.clear();
        match mask {
            Some(mask) => self.bytes.extend(mask.iter().map(|&learnt| u8::from(learnt))),
            None => self.bytes.resize(length, 1),
        }
        file.write(&self.bytes)?;
        Ok(self.bytes.iter().map(|&b| u64::from(b)).sum())
    }

    /// Syncs the files, puts them in their place and enters them into the header.
    ///
    /// # Errors
    /// If writing fails, or the folder holds a split with another vocabulary.
    pub fn finish(mut self) -> Result<ShardSummary, CorpusError> {
        let files = [("tokens", Some(self.tokens)), ("index", Some(self.index)), ("mask", self.mask)];
        for (part, file) in files {
            if let Some(file) = file {
                self.summary.blake3.insert(part.to_owned(), file.finish()?);
            }
        }
        Header::add(&self.folder, self.options.vocab_size, self.split, &self.summary)?;
        Ok(self.summary)
    }
}

/// A file that is hashed while it is written aside.
struct HashedFile {
    path: PathBuf,
    aside: PathBuf,
    file: BufWriter<File>,
    hasher: blake3::Hasher,
}

impl HashedFile {
    fn create(path: &Path) -> Result<Self, CorpusError> {
        let aside = path.with_added_extension("partial");
        let file = File::create(&aside).map_err(CorpusError::io(&aside))?;
        let file = BufWriter::with_capacity(1 << 16, file);
        Ok(Self { path: path.to_owned(), aside, file, hasher: blake3::Hasher::new() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CorpusError> {
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(CorpusError::io(&self.aside))
    }

    fn finish(self) -> Result<String, CorpusError> {
        let Self { path, aside, file, hasher } = self;
        let finish = || {
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
            std::fs::rename(&aside, &path)
        };
        finish().map_err(CorpusError::io(&path))?;
        Ok(hasher.finalize().to_hex().to_string())
    }
}
