//! Why a model could not be made smaller, or a file not be read.

use std::path::PathBuf;

use inkstone_formats::FormatError;
use inkstone_models::ModelError;
use inkstone_tokenizer::TokenizerError;

/// An error about a compressed model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// An architecture that GGUF has no names for, or that is not implemented.
    #[error("{}: the architecture {got} is not among those of GGUF files: {}", path.display(), known.join(", "))]
    Architecture {
        /// The file or folder.
        path: PathBuf,
        /// What it says.
        got: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A setting that is missing or makes no sense.
    #[error("{}: {key} is {got}, expected {expected}", path.display())]
    Entry {
        /// The file or folder.
        path: PathBuf,
        /// The entry.
        key: String,
        /// Its value.
        got: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A tensor that has no name in GGUF.
    #[error("{}: tensor {tensor} has no name in a GGUF file of the architecture {architecture}", path.display())]
    Unnamed {
        /// The folder.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The architecture.
        architecture: String,
    },
    /// A calibration without tokens.
    #[error("the calibration text has {got} tokens, at least {expected} are needed")]
    Calibration {
        /// Tokens.
        got: usize,
        /// Tokens that are needed.
        expected: usize,
    },
    /// Trouble with a file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// Trouble with a model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Trouble with a tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

impl CompressError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Format(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Calibration { .. } => Some("give a longer text"),
            _ => None,
        }
    }
}
