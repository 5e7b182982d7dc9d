//! Tokenizers from before `tokenizer.json`: `vocab.json` with `merges.txt`, `vocab.txt`, and the models of SentencePiece. Each reader
//! puts what it finds into the form of a `tokenizer.json`.

mod byte_pairs;
mod sentence_piece;
mod word_piece;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Result, TokenizerError};
use crate::folder::read;

/// What an older folder says: a `tokenizer.json`, settings that its `tokenizer_config.json` may lack, and the file that they came from.
pub(crate) struct Older {
    pub(crate) path: PathBuf,
    pub(crate) json: Value,
    pub(crate) settings: Map<String, Value>,
}

/// The names of SentencePiece models in folders of Llama, T5, ALBERT and XLM-R.
const SENTENCE_PIECE: [&str; 4] = ["tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "spm.model"];
const MERGES: &str = "merges.txt";
const VOCABULARY_JSON: &str = "vocab.json";
const VOCABULARY_TEXT: &str = "vocab.txt";
/// Larger vocabularies and models do not exist.
const MAX_BYTES: u64 = 256 << 20;

/// The tokenizer of a folder without `tokenizer.json`; nothing where there is none of an older form either.
pub(crate) fn read_older(folder: &Path, config: &Map<String, Value>) -> Result<Option<Older>> {
    let there = |name: &str| folder.join(name).is_file();
    if let Some(name) = SENTENCE_PIECE.into_iter().find(|name| there(name)) {
        let path = folder.join(name);
        let (json, settings) = sentence_piece::parse(&read(&path, MAX_BYTES)?).map_err(malformed(&path))?;
        return Ok(Some(Older { path, json, settings }));
    }
    if there(MERGES) && there(VOCABULARY_JSON) {
        let (path, merges) = (folder.join(VOCABULARY_JSON), folder.join(MERGES));
        let vocabulary = byte_pairs::vocabulary(&read(&path, MAX_BYTES)?).map_err(malformed(&path))?;
        let merged = byte_pairs::parse(&vocabulary, &text(&merges)?).map_err(malformed(&merges))?;
        return Ok(Some(Older { path: merges, json: merged, settings: byte_pairs::settings(&vocabulary) }));
    }
    if there(VOCABULARY_TEXT) {
        let path = folder.join(VOCABULARY_TEXT);
        let (json, settings) = word_piece::parse(&text(&path)?, config).map_err(malformed(&path))?;
        return Ok(Some(Older { path, json, settings }));
    }
    Ok(None)
}

fn malformed(path: &Path) -> impl Fn(String) -> TokenizerError {
    move |reason| TokenizerError::malformed(path, reason)
}

fn text(path: &Path) -> Result<String> {
    String::from_utf8(read(path, MAX_BYTES)?).map_err(|_| TokenizerError::malformed(path, "not UTF-8"))
}

/// An entry of `added_tokens`.
fn added(id: usize, content: &str, special: bool) -> Value {
    serde_json::json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": !special,
        "special": special,
    })
}

/// Names of special tokens as settings, those that `has` knows.
fn named(tokens: &[(&str, &str)], has: impl Fn(&str) -> bool) -> Map<String, Value> {
    let known = tokens.iter().filter(|(_, token)| has(token));
    known.map(|&(role, token)| (role.to_owned(), Value::from(token))).collect()
}
