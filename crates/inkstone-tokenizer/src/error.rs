//! What can go wrong, and the way out of it.

use std::path::{Path, PathBuf};

use inkstone_corpus::CorpusError;
use inkstone_recipe::StageError;

/// Why a tokenizer could not be made, read or applied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The user asked to stop.
    #[error("stopped on request")]
    Interrupted,
    /// The texts could not be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A file that is not there.
    #[error("{path}: there is no such file", path = path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// Reading or writing failed.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is larger than any honest one.
    #[error("{path}: {bytes} bytes, where at most {limit} are read", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The largest size that is read.
        limit: u64,
    },
    /// A file that is damaged or of another kind.
    #[error("{path}{}: {reason}", line.map(|l| format!(":{l}")).unwrap_or_default(), path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, from 1, where it is known.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// There was nothing to train on.
    #[error("there is no text to train the tokenizer on")]
    NoText,
    /// The corpus has fewer distinct pieces than were asked for.
    #[error("`vocab_size` is {asked}, but the corpus gives only {available} tokens")]
    VocabularyTooLarge {
        /// `vocab_size`.
        asked: usize,
        /// The most tokens that this corpus gives, special tokens included.
        available: usize,
    },
    /// Not even the single characters find room.
    #[error("`vocab_size` is {asked}, but {least} tokens are needed before the first merge")]
    VocabularyTooSmall {
        /// `vocab_size`.
        asked: usize,
        /// Bytes or characters, and special tokens.
        least: usize,
    },
    /// The trainer gave up.
    #[error("training the tokenizer failed: {reason}")]
    Training {
        /// What it said.
        reason: String,
    },
    /// A text could not be encoded.
    #[error("a text can't be encoded: {reason}")]
    Encode {
        /// Why.
        reason: String,
    },
    /// A special token that ordinary text can't be kept apart from.
    #[error("the special token `{token}` can't be told from ordinary text")]
    SpecialInText {
        /// The token.
        token: String,
    },
    /// Ids could not be decoded.
    #[error("tokens can't be decoded: {reason}")]
    Decode {
        /// Why.
        reason: String,
    },
    /// An id that no token has.
    #[error("token id {id} is outside of the vocabulary of {vocab_size}")]
    UnknownId {
        /// The id.
        id: u32,
        /// All ids are below.
        vocab_size: usize,
    },
    /// A chat was asked for, and there is no template to write it with.
    #[error("this tokenizer has no chat template")]
    NoChatTemplate,
    /// The chat template is wrong or refuses the conversation.
    #[error("{name}:{line}: {reason}")]
    Template {
        /// Where the template came from.
        name: String,
        /// The line in it, from 1; 0 where it is not known.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The template's output is larger than any honest one.
    #[error("{name}: the rendered conversation passes {limit} bytes")]
    TemplateOutput {
        /// Where the template came from.
        name: String,
        /// The most bytes that are accepted.
        limit: usize,
    },
    /// There is nothing to learn from.
    #[error("the conversation has no assistant turn")]
    NoAssistantTurn,
    /// The template does not tell which part is the assistant's.
    #[error("{name}: can't tell which part of the conversation the assistant wrote")]
    NoMask {
        /// Where the template came from.
        name: String,
    },
}

/// Shorthand of this crate.
pub(crate) type Result<T, E = TokenizerError> = std::result::Result<T, E>;

impl TokenizerError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| match source.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    pub(crate) fn malformed(path: &Path, reason: impl Into<String>) -> Self {
        Self::Malformed { path: path.to_owned(), line: None, reason: reason.into() }
    }

    pub(crate) fn training(error: impl std::fmt::Display) -> Self {
        Self::Training { reason: error.to_string() }
    }

    pub(crate) fn encode(error: impl std::fmt::Display) -> Self {
        Self::Encode { reason: error.to_string() }
    }

    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Corpus(error) => return error.hint(),
            Self::VocabularyTooLarge { available, .. } => {
                return Some(format!("set `vocab_size = {available}` or less, or use a larger corpus"));
            }
            Self::VocabularyTooSmall { least, .. } => {
                return Some(format!("set `vocab_size` to more than {least}"));
            }
            Self::NotFound { .. } => {
                "a tokenizer is a folder with at least `tokenizer.json` in it, or `tokenizer.model`, `vocab.json` and `merges.txt`, or `vocab.txt`"
            }
            Self::Io { .. } => "check the rights of the file and the space on the disk",
            Self::TooLarge { .. } | Self::Malformed { .. } => {
                "the file is damaged or not a tokenizer's; copy it again, or make the artifact anew"
            }
            Self::NoText => "check that the corpus stage kept documents in its training split",
            Self::NoChatTemplate => {
                "put a `chat_template.jinja` into the folder, or train with `chat_template = \"chatml\"`"
            }
            Self::NoMask { .. } => {
                "put `{% generation %}` and `{% endgeneration %}` around the assistant's part in the template"
            }
            Self::SpecialInText { .. } => {
                "choose special tokens such as `<|name|>`, which texts do not contain as one piece"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<TokenizerError> for StageError {
    fn from(error: TokenizerError) -> Self {
        match error {
            TokenizerError::Interrupted => Self::Interrupted,
            TokenizerError::Corpus(error) => error.into(),
            other => {
                let hint = other.hint();
                Self::from_error(other, hint.as_deref())
            }
        }
    }
}
