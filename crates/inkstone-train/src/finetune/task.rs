//! `task = { kind = "…" }` of a `finetune` stage.

use inkstone_corpus::examples::Task;
use inkstone_models::{Kind, TaskHead};
use serde::{Deserialize, Serialize};

/// What is asked of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum TaskTable {
    /// A label of a text, or of two.
    Classification {
        /// Whether two texts are read in both orders, and what is made of both is added up: for those that have none of their own
        /// (Radford et al. 2018, section 3.3, similarity). Default false.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        both_orders: bool,
    },
    /// A number for a text, or for two.
    Regression {},
    /// One of several texts, each of which is read behind the question.
    MultipleChoice {},
    /// A label for each word.
    Tagging {},
    /// Where in the second text the answer to the first stands.
    Extraction {},
    /// Vectors: a text is nearer to its pair than to the pairs of others (arXiv:1908.10084, 2104.08821).
    Embedding {
        /// What cosines are divided by. Default 0.05.
        #[serde(default = "default_temperature")]
        temperature: f64,
    },
    /// The answer in a dictionary, `{"input": …, "<ans>": …}`, whatever the task: for CPM-Bee.
    Dictionary {},
    /// The answer as text, whatever the task.
    Text {
        /// What stands before the text, e.g. `translate English to Chinese: `. Default: nothing.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        prefix: String,
    },
}

fn default_temperature() -> f64 {
    0.05
}

impl TaskTable {
    /// The head that it needs, if any.
    pub(crate) fn head(&self) -> Option<TaskHead> {
        match self {
            Self::Classification { .. } | Self::Regression {} => Some(TaskHead::Sequence),
            Self::MultipleChoice {} => Some(TaskHead::Choice),
            Self::Tagging {} => Some(TaskHead::Token),
            Self::Extraction {} => Some(TaskHead::Span),
            Self::Embedding { .. } | Self::Dictionary {} | Self::Text { .. } => None,
        }
    }

    /// What is wrong with it for a model of this kind, if anything.
    pub(crate) fn check(&self, kind: Kind) -> Result<(), String> {
        let fits = match self {
            Self::Regression {} => kind == Kind::Encoder,
            Self::Embedding { temperature } if !(*temperature > 0.0 && *temperature < 1e3) => {
                return Err(format!("`task.temperature` is {temperature}, expected more than 0"));
            }
            Self::Embedding { .. } => kind != Kind::EncoderDecoder,
            Self::Text { .. } => kind != Kind::Encoder,
            Self::Dictionary {} => kind == Kind::Decoder,
            _ => self.head().is_some_and(|head| head.fits(kind)),
        };
        if fits {
            return Ok(());
        }
        let expected = match self {
            Self::Text { .. } => "an encoder-decoder or a decoder",
            Self::Dictionary {} => "cpmbee",
            Self::Classification { .. } | Self::MultipleChoice {} | Self::Embedding { .. } => "an encoder or a decoder",
            _ => "an encoder",
        };
        Err(format!("the model has no head for this `task`, expected {expected}"))
    }
}

/// What a model is given to read where the answer is text.
pub fn text_source(prefix: &str, task: &Task) -> String {
    let mut text = format!("{prefix}{}", task.text);
    for part in task.pair.iter().chain(&task.choices) {
        text.push('\n');
        text.push_str(part);
    }
    text
}
