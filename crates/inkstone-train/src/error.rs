//! Why training did not finish.

use std::path::PathBuf;

use inkstone_recipe::StageError;

/// An error of training.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A loss or gradient that is not a number.
    #[error("step {step}: {what} is {value}; learning rate {learning_rate:.3e}, last losses {last_losses:?}{}", parameter.as_ref().map(|p| format!(", first in {p}")).unwrap_or_default())]
    NotFinite {
        /// The step, counted from 1.
        step: u64,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The first parameter with such a gradient.
        parameter: Option<String>,
        /// The rate of that step.
        learning_rate: f64,
        /// The losses before it, oldest first.
        last_losses: Vec<f64>,
    },
    /// A reward that is not a number.
    #[error("the reward of the answer {text:?} is {value}")]
    Reward {
        /// The answer.
        text: String,
        /// Its reward.
        value: f64,
    },
    /// A file of a checkpoint that can't be written or read.
    #[error("checkpoint {}: {what}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A folder of checkpoints that can't be written or read.
    #[error("checkpoint: {0}")]
    CheckpointFile(#[from] inkstone_recipe::fs::IoError),
    /// A log file that can't be written.
    #[error("{}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A tokenizer without a token that the objective needs.
    #[error("the tokenizer has no token `{token}`, which the objective needs")]
    NoSpecialToken {
        /// The token.
        token: String,
    },
    /// A split without tokens.
    #[error("the {split} split has no tokens to learn from ({path})", path = path.display())]
    NoTokens {
        /// `train` or `validation`.
        split: &'static str,
        /// The artifact.
        path: PathBuf,
    },
    /// A context that no data can fill.
    #[error("`context` is {context}, but all documents together have {tokens} tokens")]
    ContextTooLong {
        /// The setting.
        context: usize,
        /// The tokens of the training split.
        tokens: u64,
    },
    /// Trouble with the token shards.
    #[error(transparent)]
    Corpus(#[from] inkstone_corpus::CorpusError),
    /// Trouble with the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] inkstone_tokenizer::TokenizerError),
    /// Trouble with the model.
    #[error(transparent)]
    Model(#[from] inkstone_models::ModelError),
    /// Trouble with a file of weights.
    #[error(transparent)]
    Format(#[from] inkstone_formats::FormatError),
    /// Trouble with an adapter.
    #[error(transparent)]
    Adapter(#[from] crate::peft::AdapterError),
    /// Trouble while generating a sample.
    #[error(transparent)]
    Engine(#[from] inkstone_engine::EngineError),
    /// The user asked to stop.
    #[error("stopped on request")]
    Interrupted,
}

impl TrainError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFinite { .. } => {
                "lower optimizer.learning_rate, lengthen schedule.warmup or clip harder; the checkpoint before this step is kept"
            }
            Self::Checkpoint { .. } | Self::CheckpointFile(_) | Self::Log { .. } => {
                "free some space or fix the permissions; the same command goes on from the last good checkpoint"
            }
            Self::Reward { .. } => "the judge must give a finite number to every answer",
            Self::NoSpecialToken { token } if token.starts_with("<extra_id") => {
                "give the `tokenizer` stage `sentinels = 100`"
            }
            Self::NoSpecialToken { token } => {
                return Some(format!("give the `tokenizer` stage `special_tokens = [\"{token}\"]`"));
            }
            Self::ContextTooLong { .. } => "set `context` to less, or give the recipe more texts",
            Self::NoTokens { .. } => "give the corpus more texts, or a larger `validation` share",
            Self::Corpus(error) => return error.hint(),
            Self::Tokenizer(error) => return error.hint(),
            Self::Model(error) => return error.hint().map(str::to_owned),
            Self::Format(error) => return error.hint().map(str::to_owned),
            Self::Adapter(error) => return Some(error.hint().to_owned()),
            Self::Engine(error) => return error.hint().map(str::to_owned),
            Self::Interrupted => return None,
        };
        Some(hint.to_owned())
    }
}

impl From<TrainError> for StageError {
    fn from(error: TrainError) -> Self {
        match error {
            TrainError::Interrupted => Self::Interrupted,
            other => {
                let hint = other.hint();
                Self::from_error(other, hint.as_deref())
            }
        }
    }
}
