//! Why an evaluation did not finish.

use std::path::PathBuf;

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
    /// The user asked to stop.
    #[error("stopped on request")]
    Interrupted,
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
