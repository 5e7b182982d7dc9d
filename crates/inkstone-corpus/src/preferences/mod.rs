//! Answers that people (or programs) prefer to others: what a record is, how others write them down, the stage that reads them.

mod parse;
mod stage;

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chat::Message;
use crate::document::{DocumentId, LineWriter, Split, read_lines_of};
use crate::error::CorpusError;

pub use parse::{BadPreference, parse_preference};
pub use stage::{PreferencesConfig, PreferencesStage};

/// A prompt with an answer that is wanted, one that is not, or both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// The conversation up to the answer; a user's turn is the last.
    pub prompt: Vec<Message>,
    /// The better answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The worse answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<String>,
    /// By how much it is better, where that was judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
}

/// [`Answers`] with their name and where they came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// Its stable name.
    pub id: DocumentId,
    /// What is preferred to what.
    #[serde(flatten)]
    pub answers: Answers,
    /// `source`, `line`, and whatever the record's own `meta` said.
    #[serde(default)]
    pub meta: Map<String, Value>,
}

/// The records of one split of a `preferences` artifact, one at a time.
///
/// # Errors
/// If the file is missing or can't be opened; each item may tell of a damaged line.
pub fn read_preferences(
    artifact: &Path,
    split: Split,
) -> Result<impl Iterator<Item = Result<Preference, CorpusError>> + use<>, CorpusError> {
    read_lines_of(&split.file(artifact))
}

/// Writes the records of one split, each with a name that comes from its place.
///
/// # Errors
/// If the file can't be written.
pub fn write_preferences(artifact: &Path, split: Split, records: &[Answers]) -> Result<(), CorpusError> {
    let mut writer = LineWriter::create(&split.file(artifact))?;
    for (n, answers) in records.iter().enumerate() {
        let id = DocumentId::new(split.name(), n as u64, 0);
        writer.write(&Preference { id, answers: answers.clone(), meta: Map::new() })?;
    }
    writer.finish()
}
