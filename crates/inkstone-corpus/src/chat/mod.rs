//! Conversations: what they are, how others write them down, and the stage that reads them.

pub mod parse;
pub mod stage;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::document::{DocumentId, Split, read_lines_of};
use crate::error::CorpusError;

pub use parse::{BadRecord, RATIONALE, parse_record};
pub use stage::{ChatConfig, ChatStage};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions that hold for the whole conversation.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool that the model called gave back.
    Tool,
}

/// One turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// A conversation with its name and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Conversation {
    /// Its stable name.
    pub id: DocumentId,
    /// Its turns: at most one system message, at the beginning, then the user first; the last one
    /// is the assistant's.
    pub messages: Vec<Message>,
    /// `source`, `line`, and whatever the record's own `meta` said.
    #[serde(default)]
    pub meta: Map<String, Value>,
}

/// The conversations of one split of a `chat` artifact, one at a time.
///
/// # Errors
/// If the file is missing or can't be opened; each item may tell of a damaged line.
pub fn read_conversations(
    artifact: &Path,
    split: Split,
) -> Result<impl Iterator<Item = Result<Conversation, CorpusError>> + use<>, CorpusError> {
    read_lines_of(&split.file(artifact))
}
