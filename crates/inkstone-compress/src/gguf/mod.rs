//! Models in GGUF files.
//!
//! A file differs from a Hugging Face folder in names (`names`), in settings (`settings`), in the order of some rows (rotary pairs lie
//! side by side; fused projections are split or sorted), and in where the tokenizer is (among the settings, `tokenizer`).

mod export;
mod import;
mod names;
mod settings;
mod tokenizer;

pub use export::{Export, export};
pub use import::GgufModel;
