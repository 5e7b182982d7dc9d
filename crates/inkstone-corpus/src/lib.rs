//! Readers, documents, deduplication, token shards, the loader and the built-in sample world.
//!
//! Texts come in through [`read`], pass one pipeline (normalised, checked, deduplicated, split)
//! in the stages [`CorpusStage`] and [`ChatStage`], are kept by the tokenizer as [`shards`], and
//! leave through the [`loader`] as batches. Nothing here knows what a model is.

pub mod answer;
pub mod arithmetic;
pub mod chat;
pub mod document;
pub mod draw;
pub mod error;
pub mod examples;
pub mod judged;
pub mod loader;
pub mod preferences;
pub mod read;
pub mod shards;
pub mod stage;
pub mod world;

mod lines;
pub mod mix;
mod overlap;
mod pipeline;
mod records;
mod settings;
mod text;

pub use arithmetic::ArithmeticStage;
pub use chat::stage::ChatStage;
pub use document::{Document, DocumentId, Split, read_documents};
pub use error::CorpusError;
pub use examples::ExamplesStage;
pub use preferences::PreferencesStage;
pub use stage::CorpusStage;
