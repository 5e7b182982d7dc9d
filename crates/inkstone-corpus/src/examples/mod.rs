//! Examples of tasks: a text (or two) with what is right, in one form whatever the task, so that each of them can also be put
//! as text to text.

mod parse;
mod stage;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{DocumentId, Split, read_lines_of};
use crate::error::CorpusError;

pub use parse::{BadExample, Fields, parse_example};
pub use stage::{ExamplesConfig, ExamplesStage};

/// What is asked, and what is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The text; of question answering the question.
    pub text: String,
    /// A second text: a hypothesis, another sentence, where the answer stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// What there is to choose from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What is right.
    pub answer: Answer,
}

/// What is right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    /// A number; among choices their index, from 0.
    Number(f64),
    /// A label, or a text.
    Text(String),
    /// A label for each word of the text, which are separated by white space.
    Tags(Vec<String>),
}

impl Answer {
    /// As text.
    pub fn words(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
            Self::Tags(tags) => tags.join(" "),
        }
    }

    /// As a number.
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Tags(_) => None,
        }
    }
}

/// A [`Task`] with its name and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// Its stable name.
    pub id: DocumentId,
    /// What is asked.
    #[serde(flatten)]
    pub task: Task,
    /// `source`, `line`, and whatever the record's own `meta` said.
    #[serde(default)]
    pub meta: Map<String, Value>,
}

/// The examples of one split of an `examples` artifact, one at a time.
///
/// # Errors
/// If the file is missing or can't be opened; each item may tell of a damaged line.
pub fn read_examples(
    artifact: &Path,
    split: Split,
) -> Result<impl Iterator<Item = Result<Example, CorpusError>> + use<>, CorpusError> {
    read_lines_of(&split.file(artifact))
}
