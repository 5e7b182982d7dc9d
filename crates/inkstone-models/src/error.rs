//! Why a model can't be built, read or written.

use std::path::PathBuf;

use inkstone_formats::FormatError;

/// An error about a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A model of a kind that is not implemented.
    #[error("config.json: model_type is {got}, expected one of: {}", known.join(", "))]
    Architecture {
        /// What it says.
        got: String,
        /// What there is.
        known: Vec<&'static str>,
    },
    /// A config that can't be read.
    #[error("config.json: {0}")]
    Parse(#[from] serde_json::Error),
    /// A setting that makes no sense or is not implemented.
    #[error("config.json: {field} is {got}, expected {expected}")]
    Config {
        /// The field.
        field: &'static str,
        /// Its value.
        got: String,
        /// What would be right.
        expected: String,
    },
    /// A tensor of another shape than the config says.
    #[error("{}: tensor {tensor} has the shape {got:?}, expected {expected:?}", path.display())]
    Shape {
        /// The folder.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape in the file.
        got: Vec<usize>,
        /// The shape that the config asks for.
        expected: Vec<usize>,
    },
    /// Tensors that the architecture has and the folder lacks, or the other way round.
    #[error("{}: missing tensors: [{}]; unexpected tensors: [{}]", path.display(), missing.join(", "), unexpected.join(", "))]
    Names {
        /// The folder.
        path: PathBuf,
        /// Names that the architecture needs.
        missing: Vec<String>,
        /// Names that it does not know.
        unexpected: Vec<String>,
    },
    /// Trouble with a file.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A dictionary that is none.
    #[error("the dictionary, at `{path}`: expected {expected}, got {got}")]
    Dictionary {
        /// The keys that lead there.
        path: String,
        /// What should stand there.
        expected: &'static str,
        /// What does.
        got: String,
    },
}

impl ModelError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Format(error) => error.hint(),
            _ => None,
        }
    }
}
