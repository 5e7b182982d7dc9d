//! What can be wrong with a file.

use std::path::{Path, PathBuf};

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The operating system refused.
    #[error("{}: {action} failed: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done, e.g. `open`.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A part of the file is larger than any honest file would have it.
    #[error("{}: {what} is {got} bytes long; at most {limit} are accepted", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Which part.
        what: &'static str,
        /// The most that is accepted, in bytes.
        limit: u64,
        /// What the file has, in bytes.
        got: u64,
    },
    /// The file ends early, or goes on after its end.
    #[error("{}: the header describes {expected} bytes and the file has {got}; it was cut off or damaged, fetch or write it again", path.display())]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header describes.
        expected: u64,
        /// Bytes that there are.
        got: u64,
    },
    /// The header of a safetensors file makes no sense.
    #[error("{}: bad safetensors header: {detail}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; names the tensor where one is to blame.
        detail: String,
    },
    /// A tensor has a type of number that is not known.
    #[error("{}: tensor `{tensor}` has the unknown dtype `{got}`", path.display())]
    UnknownDtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its dtype as the file spells it.
        got: String,
    },
    /// A tensor is not what the caller needs.
    #[error("{}: tensor `{tensor}`: expected {expected}, got {got}", path.display())]
    Tensor {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What was needed.
        expected: String,
        /// What there is.
        got: String,
    },
    /// Numbers that are not floating point of at most 32 bits.
    #[error("expected numbers of dtype F32, BF16 or F16, got {got:?}")]
    Dtype {
        /// Their type.
        got: safetensors::Dtype,
    },
    /// There is no tensor of that name.
    #[error("{}: no tensor `{tensor}` among {count}{}", path.display(), nearest.as_ref().map_or_else(String::new, |name| format!("; the nearest name is `{name}`")))]
    TensorNotFound {
        /// The file or folder.
        path: PathBuf,
        /// The name that was asked for.
        tensor: String,
        /// How many tensors there are.
        count: usize,
        /// The name that shares the longest beginning or end with it.
        nearest: Option<String>,
    },
    /// A JSON file that is not what it should be.
    #[error("{}:{line}: {detail}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        detail: String,
    },
    /// A folder lacks a file that every model folder has.
    #[error("{}: not a model folder: {expected} is missing", folder.display())]
    Missing {
        /// The folder.
        folder: PathBuf,
        /// What was looked for.
        expected: &'static str,
    },
    /// A shard index that points where it must not, or to what is not there.
    #[error("{}: tensor `{tensor}` is said to be in {file:?}: {reason}", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The file name that the index gives.
        file: String,
        /// Why that can't be.
        reason: &'static str,
    },
    /// A PyTorch file that is not a plain dictionary of tensors.
    #[error("{}: not a PyTorch file of plain weights: {detail}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; names the tensor where one is to blame.
        detail: String,
    },
    /// A GGUF file that is damaged, or says what can't be.
    #[error("{}: bad GGUF file at byte {offset}: {detail}", path.display())]
    Gguf {
        /// The file.
        path: PathBuf,
        /// Where the reader stood.
        offset: u64,
        /// What is wrong.
        detail: String,
    },
    /// An event file that is not one.
    #[error("{}: bad event file at byte {offset}: {detail}", path.display())]
    Events {
        /// The file.
        path: PathBuf,
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        detail: String,
    },
}

impl FormatError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => "check the spelling, and the folder that relative paths count from",
                std::io::ErrorKind::PermissionDenied => "check who owns the file and its permissions",
                std::io::ErrorKind::StorageFull => "the disk is full; free some space and run the same command again",
                _ => return None,
            },
            Self::Header { .. }
            | Self::Json { .. }
            | Self::Length { .. }
            | Self::Tensor { .. }
            | Self::Gguf { .. }
            | Self::Index { .. } => {
                "the file was cut off, damaged, or is of another program: fetch it again, or make the artifact anew \
                 (`inkstone run` finds what is damaged)"
            }
            Self::Missing { .. } => {
                "a model folder holds config.json, tokenizer.json and model.safetensors (or shards and their index)"
            }
            _ => return None,
        })
    }

    /// For `map_err` on what the system answered to `action` on `path`.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, action, source }
    }
}
