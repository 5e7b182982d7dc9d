//! Why an evaluation did not finish.

use std::path::PathBuf;

use inkstone_recipe::StageError;

/// An error of evaluation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A file that can't be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A record that is not a question.
    #[error("{}, line {line}: {what}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// Nothing to evaluate on.
    #[error("{}: {what}", path.display())]
    Empty {
        /// The file or folder.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// A context that the model can't take.
    #[error("context is {got}, expected 2 to {longest}, the model's own")]
    Context {
        /// What was asked for.
        got: usize,
        /// What the model can take.
        longest: usize,
    },
    /// A question that the model can't read.
    #[error(
        "the question {id} has {tokens} tokens with the chat template around it, and the model's context will be {context}"
    )]
    QuestionTooLong {
        /// The question.
        id: String,
        /// Its tokens, those of the template included.
        tokens: usize,
        /// The model's context.
        context: usize,
        /// The stage that fixes it.
        stage: String,
    },
    /// The user asked to stop.
    #[error("stopped on request")]
    Interrupted,
    /// Trouble with the examples.
    #[error(transparent)]
    Corpus(#[from] inkstone_corpus::CorpusError),
    /// Trouble with the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] inkstone_tokenizer::TokenizerError),
    /// Trouble with the model.
    #[error(transparent)]
    Model(#[from] inkstone_models::ModelError),
    /// Trouble while generating.
    #[error(transparent)]
    Engine(#[from] inkstone_engine::EngineError),
}

impl EvalError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::File { .. } => "check that the file is there and can be read",
            Self::Record { .. } => "run the recipe again: what is damaged is made anew",
            Self::Empty { .. } => "give it at least a few words of text",
            Self::Context { .. } => "leave --context out to use the model's own",
            Self::QuestionTooLong { tokens, stage, .. } => {
                return Some(format!("set `context = {}` or more in [{stage}]", (tokens + 1).next_multiple_of(16)));
            }
            Self::Corpus(error) => return error.hint(),
            Self::Tokenizer(error) => return error.hint(),
            Self::Model(error) => return error.hint().map(str::to_owned),
            Self::Engine(error) => return error.hint().map(str::to_owned),
            Self::Interrupted => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<EvalError> for StageError {
    fn from(error: EvalError) -> Self {
        match error {
            EvalError::Interrupted => Self::Interrupted,
            other => {
                let hint = other.hint();
                Self::from_error(other, hint.as_deref())
            }
        }
    }
}
