//! What can go wrong, with the place and what was expected.

use std::path::{Path, PathBuf};

use inkstone_recipe::StageError;
use inkstone_recipe::fs::IoError;

/// Why the work was not done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClassicError {
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// A text is not what it should be.
    #[error("{}:{line}: {what}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// There is nothing to learn from or to predict.
    #[error("{} has no {what}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// An ARPA file breaks its format.
    #[error("{}:{line}: expected {expected}, got {got:?}", path.display())]
    Arpa {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What should stand there.
        expected: String,
        /// What stands there.
        got: String,
    },
    /// A binary model breaks its format.
    #[error("{}: {what}: expected {expected}, got {got}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// The part that is wrong.
        what: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// A setting can't work.
    #[error("`{field}` is {got}, it must be {expected}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// Its value.
        got: String,
        /// What would be right.
        expected: String,
    },
    /// The tokenizer refused.
    #[error(transparent)]
    Tokenizer(#[from] inkstone_tokenizer::TokenizerError),
    /// The corpus could not be read.
    #[error(transparent)]
    Corpus(#[from] inkstone_corpus::CorpusError),
    /// A line of a file that is not what it must be.
    #[error("{}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// A file whose content is not what it must be.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Too little text to learn anything from.
    #[error("the text has {found}, expected {expected}")]
    TooLittle {
        /// What there is.
        found: String,
        /// What there must be.
        expected: &'static str,
    },
    /// A word that the model never saw.
    #[error("there is no word \u{201c}{word}\u{201d} among the {words} vectors")]
    UnknownWord {
        /// The word.
        word: String,
        /// Words that there are.
        words: usize,
    },
    /// A model folder could not be read or written.
    #[error(transparent)]
    Format(#[from] inkstone_formats::FormatError),
    /// A number that is none came up in training.
    #[error("the loss is not finite at step {step}")]
    NotFinite {
        /// The step, from 1.
        step: u64,
    },
    /// The user asked to stop.
    #[error("stopped on request")]
    Interrupted,
}

impl ClassicError {
    /// For `map_err`: an input or output error with what was tried and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let at = IoError::at(action, path);
        move |source| Self::Io(at(source))
    }

    /// What the user can do.
    pub fn hint(&self) -> Option<String> {
        let own = |text: &str| Some(text.to_owned());
        match self {
            Self::Io(error) => error.hint().map(str::to_owned),
            Self::Tokenizer(error) => error.hint(),
            Self::Corpus(error) => error.hint(),
            Self::Text { .. } => own("the text must be UTF-8, one sentence a line"),
            Self::Arpa { .. } => own(
                "an ARPA file has \\data\\, counts, a section for each order and \\end\\; make it again with `inkstone ngram train`, or fetch it again",
            ),
            Self::Line { .. } => own("mend or remove that line"),
            Self::Empty { .. } => own("give a text with words in it, one sentence a line"),
            Self::Model { .. } => own("make the file again with `inkstone ngram build`"),
            Self::TooLittle { .. } => own("give more text, or count rarer words in with a lower `min_count`"),
            Self::NotFinite { .. } => own("lower the learning rate or `clip`"),
            Self::UnknownWord { .. } => own("upper and lower case count; rare words have no vector"),
            Self::Malformed { .. } => own("the file may be cut short or damaged; make it again, or fetch it again"),
            _ => None,
        }
    }
}

impl From<ClassicError> for StageError {
    fn from(error: ClassicError) -> Self {
        let hint = error.hint();
        match error {
            ClassicError::Interrupted => Self::Interrupted,
            error => Self::from_error(error, hint.as_deref()),
        }
    }
}

/// What this crate's functions return.
pub type Result<T, E = ClassicError> = std::result::Result<T, E>;
