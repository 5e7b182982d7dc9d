//! The parsers of outside bytes: for each, what to do with any bytes, and good files to begin from.
//!
//! A target must return, whatever the bytes. The ordinary tests run all of them over mutated seeds (`xtask/tests`),
//! cargo-fuzz runs one of them for as long as it is let.

mod classic;
mod corpus;
mod formats;
mod recipe;
mod tokenizer;

use std::path::Path;

/// One parser.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, also that of its file in `fuzz_targets/`.
    pub name: &'static str,
    /// Feeds it.
    pub run: fn(&[u8]),
    /// Good files.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    formats::SAFETENSORS,
    formats::INDEX,
    formats::TORCH,
    formats::ADAPTER,
    formats::GGUF,
    formats::CONFIG,
    formats::EVENTS,
    recipe::RECIPE,
    recipe::MANIFEST,
    corpus::JSONL,
    corpus::JSON,
    corpus::CSV,
    corpus::TEXT,
    corpus::PARQUET,
    corpus::COMPRESSED,
    corpus::CHAT,
    corpus::PREFERENCES,
    corpus::SHARD_HEADER,
    corpus::SHARD_INDEX,
    tokenizer::TOKENIZER,
    tokenizer::TOKENIZER_CONFIG,
    tokenizer::CHAT_TEMPLATE,
    tokenizer::SENTENCE_PIECE,
    tokenizer::WORD_PIECE,
    tokenizer::BYTE_PAIRS,
    tokenizer::BYTE_PAIR_IDS,
    classic::ARPA,
    classic::NGRAM,
    classic::VECTORS,
    classic::JUDGEMENTS,
];

/// Feeds the target called `name`.
pub fn run(name: &str, data: &[u8]) {
    if let Some(target) = TARGETS.iter().find(|target| target.name == name) {
        (target.run)(data);
    }
}

/// Calls `then` with a folder in which `data` is the file `name`.
fn in_folder(name: &str, data: &[u8], then: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join(name), data).expect("room for a small file");
    then(folder.path());
}
