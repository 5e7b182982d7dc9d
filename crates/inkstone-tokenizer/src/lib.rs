//! Training and applying tokenizers; the chat template.
//!
//! A [`Tokenizer`] is a folder with `tokenizer.json`, `tokenizer_config.json` and
//! `chat_template.jinja`, as `transformers` reads and writes it. [`train`] makes one from texts; the
//! stages [`TokenizerStage`] and [`TokensStage`] do so for a recipe and turn a corpus into token
//! shards. Two promises hold for every tokenizer, trained here or elsewhere:
//!
//! * **Special tokens never arise from user text.** [`Tokenizer::encode`] gives none, and
//!   [`Tokenizer::encode_chat`] gives those alone that the chat template itself wrote.
//! * **Training is deterministic.** The same texts and settings give the same bytes, whatever the
//!   number of threads.
//!
//! Nothing here knows what a model is.

mod bytes;
mod chat;
mod decoder;
mod error;
mod folder;
mod older;
mod specials;
pub mod stages;
mod stop;
mod tokenizer;
mod train;

pub use chat::{CHATML, Prompt, TRAINING_DATE, Turn};
pub use decoder::StreamDecoder;
pub use error::TokenizerError;
pub use stages::{TokenizerStage, TokensConfig, TokensStage};
pub use stop::StopStrings;
pub use tokenizer::Tokenizer;
pub use train::{Algorithm, TokenizerConfig, train};
