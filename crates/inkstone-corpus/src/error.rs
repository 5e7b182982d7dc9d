//! What can go wrong with data from outside, with the place and the way out.

use std::path::{Path, PathBuf};

use inkstone_recipe::StageError;

use crate::read::encoding::NOT_UTF8;

/// Why texts, shards or batches could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// The user asked to stop.
    #[error("stopped on request")]
    Interrupted,
    /// A file or folder is not there.
    #[error("{path}: there is no such file or folder", path = path.display())]
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// A recipe that names the folder of data, and a shell that does not.
    #[error("`{path}`: the environment variable INKSTONE_DATA is not set")]
    NoDataFolder {
        /// The path as the recipe gives it.
        path: String,
    },
    /// A pattern or folder holds no file that could be read.
    #[error("`{pattern}` matches no file that can be read")]
    NoMatch {
        /// The pattern or folder as it was given.
        pattern: String,
    },
    /// A pattern that is not one.
    #[error("`{pattern}` is not a valid pattern: {reason}")]
    Pattern {
        /// The pattern as it was given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The text is in another encoding than UTF-8.
    #[error("{path}: the text looks like {guess}, not UTF-8", path = path.display())]
    Encoding {
        /// The file.
        path: PathBuf,
        /// The name of the encoding, as `iconv` knows it.
        guess: &'static str,
    },
    /// A file whose structure is broken beyond a single record.
    #[error("{path}:{line}: {reason}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line (or record, for a binary format), from 1.
        line: u64,
        /// What is wrong.
        reason: String,
    },
    /// More bad records than the recipe allows.
    #[error("{path}:{line}: {reason} (bad record number {count}; `max_bad_records` is {limit})", path = path.display())]
    TooManyBad {
        /// The file with the last bad record.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
        /// Bad records so far.
        count: u64,
        /// How many the recipe allows.
        limit: u64,
    },
    /// There was nothing to read.
    #[error("the corpus is empty: {sources} file(s) with {bytes} bytes hold no record")]
    Empty {
        /// Files read.
        sources: usize,
        /// Their size.
        bytes: u64,
    },
    /// Records were there, and none was kept.
    #[error("nothing of the corpus is left: {short} record(s) below `min_characters`, {bad} bad record(s)")]
    AllDropped {
        /// Records with too little text.
        short: u64,
        /// Records that could not be used.
        bad: u64,
    },
    /// A setting that can't work.
    #[error("`{field}`: {reason}")]
    Config {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A token shard that is not what its header says.
    #[error("{path}: {what}: expected {expected}, got {got}", path = path.display())]
    Shard {
        /// The file.
        path: PathBuf,
        /// What was compared.
        what: &'static str,
        /// What the header says.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A token id that the vocabulary does not have.
    #[error("document {document}: token id {id} is outside of the vocabulary of {vocab_size}")]
    TokenRange {
        /// The document.
        document: crate::DocumentId,
        /// The id.
        id: u32,
        /// The size of the vocabulary.
        vocab_size: usize,
    },
    /// A shard without a token can't be trained on.
    #[error("{path}: the shard holds no tokens", path = path.display())]
    NoTokens {
        /// The token file.
        path: PathBuf,
    },
}

impl CorpusError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    pub(crate) fn malformed(path: &Path, line: u64, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), line, reason: reason.into() }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { .. } => "relative paths count from the folder of the recipe; check the spelling",
            Self::NoDataFolder { .. } => "set it to the folder with the texts: `INKSTONE_DATA=DIR inkstone …`",
            Self::NoMatch { .. } => {
                "`format = \"auto\"` takes .txt .md .jsonl .json .csv .tsv .parquet (texts also as .gz or .zst) from \
                 a folder; name the `format` to read all of its files"
            }
            Self::Pattern { .. } => "`*` matches within a name, `**` any folders, `[ab]` one of these characters",
            Self::Io { .. } => "check that the file can be read, that it is complete, and that the disk is not full",
            Self::Encoding { guess, .. } => {
                return Some(format!("convert it first, e.g. `iconv -f {guess} -t UTF-8 IN > OUT`"));
            }
            Self::Malformed { .. } => "mend the file or leave it out; one JSON object a line is `format = \"jsonl\"`",
            Self::TooManyBad { reason, .. } if reason.starts_with(NOT_UTF8) => {
                "mend the line, convert the file (e.g. `iconv -f WINDOWS-1252 -t UTF-8 IN > OUT`), or raise \
                 `max_bad_records` to leave such lines out"
            }
            Self::TooManyBad { .. } => {
                "is `text` the right key, and `format` the right one? Otherwise raise `max_bad_records`"
            }
            Self::Empty { .. } => "check `paths` and `format`",
            Self::AllDropped { .. } => "lower `min_characters`, or look at the warnings above",
            Self::Shard { .. } => "delete the artifact and run the recipe again",
            Self::NoTokens { .. } => "use a larger corpus, or a larger `validation` fraction for this split",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<CorpusError> for StageError {
    fn from(error: CorpusError) -> Self {
        match error {
            CorpusError::Interrupted => Self::Interrupted,
            other => {
                let hint = other.hint();
                Self::from_error(other, hint.as_deref())
            }
        }
    }
}
