//! Two passes over the sources: the first finds what is bad, short or a duplicate, the second
//! writes what is left. Memory does not grow with the texts (a bit a document stays).

mod dedup;
mod pass;
mod report;
mod split;
mod write;

use inkstone_recipe::{Context, Metrics};
use serde_json::{Map, Value};

use crate::chat::Message;
use crate::document::first_128_bits;
use crate::error::CorpusError;
use crate::examples::{Answer, Task};
use crate::overlap::Overlap;
use crate::preferences::Answers;
use crate::read::source::Source;
use crate::read::{Content, Unit};

pub use split::SplitKind;

/// What both stages over texts ask of the pipeline.
pub(crate) struct Job<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) sources: Vec<Source>,
    pub(crate) settings: Settings,
    /// Columns of Parquet files that are needed; all where it is `None`.
    pub(crate) columns: Option<Vec<String>>,
    /// Makes the parts of a document from a record, or says what is wrong with it.
    pub(crate) prepare: &'a Prepare<'a>,
    /// What must not be read: documents that say any of it are left out.
    pub(crate) apart_from: Option<Overlap>,
    /// How often the training split has a document of each source; once where it is not said.
    pub(crate) weights: Vec<f64>,
}

/// Appends the parts of a record's document.
pub(crate) type Prepare<'a> = dyn Fn(Content<'_>, &mut Vec<Part>) -> Result<(), String> + 'a;

/// What the two stages have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) unit: Unit,
    pub(crate) max_document_bytes: usize,
    pub(crate) min_characters: u64,
    pub(crate) max_bad_records: u64,
    pub(crate) deduplicate: bool,
    pub(crate) validation: f64,
    pub(crate) split: SplitKind,
}

/// What a document says.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Text(String),
    Messages(Vec<Message>),
    Answers(Answers),
    Example(Task),
}

/// A document, or one part of a long one, before it has a name.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) body: Body,
    pub(crate) meta: Map<String, Value>,
}

/// How much text a document holds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Size {
    pub(crate) bytes: u64,
    pub(crate) characters: u64,
}

impl Body {
    pub(super) fn texts(&self) -> Vec<&str> {
        fn said(messages: &[Message]) -> Vec<&str> {
            messages.iter().map(|message| message.content.as_str()).collect()
        }
        match self {
            Self::Text(text) => vec![text],
            Self::Messages(messages) => said(messages),
            Self::Answers(answers) => {
                let mut texts = said(&answers.prompt);
                texts.extend([answers.chosen.as_deref(), answers.rejected.as_deref()].into_iter().flatten());
                texts
            }
            Self::Example(task) => {
                let answer = if let Answer::Text(text) = &task.answer { Some(text.as_str()) } else { None };
                let others =
                    task.pair.as_deref().into_iter().chain(task.choices.iter().map(String::as_str)).chain(answer);
                std::iter::once(task.text.as_str()).chain(others).collect()
            }
        }
    }

    pub(crate) fn size(&self) -> Size {
        let sum = |size: Size, text: &str| Size {
            bytes: size.bytes + text.len() as u64,
            characters: size.characters + text.chars().count() as u64,
        };
        self.texts().into_iter().fold(Size::default(), sum)
    }

    /// Whether there are fewer than `min` characters, white space at the ends not counted.
    pub(crate) fn is_shorter_than(&self, min: u64) -> bool {
        let enough = usize::try_from(min).unwrap_or(usize::MAX);
        let characters = self.texts().into_iter().flat_map(|text| text.trim().chars());
        characters.take(enough).count() < enough
    }

    /// Equal for what must be on the same side of the split: examples of the same text or texts, whatever is right of them.
    pub(crate) fn side(&self) -> u128 {
        match self {
            Self::Example(task) => {
                let mut hasher = blake3::Hasher::new();
                hasher.update(&(task.text.len() as u64).to_le_bytes()).update(task.text.as_bytes());
                first_128_bits(&hasher.update(task.pair.as_deref().unwrap_or_default().as_bytes()).finalize())
            }
            _ => self.hash(),
        }
    }

    /// Equal for equal content only.
    pub(crate) fn hash(&self) -> u128 {
        let hash = match self {
            Self::Text(text) => blake3::hash(text.as_bytes()),
            Self::Messages(messages) => hash_messages(messages).finalize(),
            Self::Answers(answers) => {
                let mut hasher = hash_messages(&answers.prompt);
                for answer in [&answers.chosen, &answers.rejected] {
                    let answer = answer.as_deref().unwrap_or_default();
                    hasher.update(&(answer.len() as u64).to_le_bytes()).update(answer.as_bytes());
                }
                hasher.finalize()
            }
            Self::Example(task) => blake3::hash(&serde_json::to_vec(task).expect("invariant: plain data")),
        };
        first_128_bits(&hash)
    }
}

fn hash_messages(messages: &[Message]) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    for message in messages {
        hasher.update(&[message.role as u8]).update(&(message.content.len() as u64).to_le_bytes());
        hasher.update(message.content.as_bytes());
    }
    hasher
}

impl Job<'_> {
    /// Reads, decides and writes; returns the stage's metrics.
    pub(crate) fn run(&self) -> Result<Metrics, CorpusError> {
        let findings = pass::survey(self)?;
        let totals = write::write(self, &findings)?;
        if totals.validation.documents == 0 && self.settings.validation > 0.0 {
            self.context.progress.warn("the validation split is empty: there is only one distinct document");
        }
        report::write(self, &findings, &totals)?;
        Ok(totals.metrics(&findings))
    }

    pub(crate) fn source_bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.bytes).sum()
    }
}
