//! `vocab.txt` of BERT: a piece on each line, its id the number of the line from 0 (arXiv:1810.04805; Schuster and Nakajima 2012).

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::{added, named};

/// Special tokens that stand in such a vocabulary, with their roles.
const SPECIAL: [(&str, &str); 5] = [
    ("pad_token", "[PAD]"),
    ("unk_token", "[UNK]"),
    ("cls_token", "[CLS]"),
    ("sep_token", "[SEP]"),
    ("mask_token", "[MASK]"),
];

/// `tokenizer.json`, and the settings for its special tokens. Text is put into lower case unless `do_lower_case` is false.
pub(super) fn parse(text: &str, config: &Map<String, Value>) -> Result<(Value, Map<String, Value>), String> {
    let pieces: Vec<&str> = text.lines().map(str::trim_end).collect();
    let ids: HashMap<&str, usize> = pieces.iter().enumerate().map(|(id, piece)| (*piece, id)).collect();
    if !ids.contains_key("[UNK]") {
        return Err("there is no line `[UNK]`".to_owned());
    }
    if ids.len() < pieces.len() {
        return Err(format!("{} lines, but only {} different ones", pieces.len(), ids.len()));
    }
    let flag = |key: &str, default: bool| config.get(key).and_then(Value::as_bool).unwrap_or(default);
    let vocabulary: Map<String, Value> =
        pieces.iter().enumerate().map(|(id, piece)| ((*piece).to_owned(), id.into())).collect();
    let mut specials: Vec<(usize, &str)> =
        SPECIAL.iter().filter_map(|(_, token)| Some((*ids.get(token)?, *token))).collect();
    specials.sort_unstable();
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null,
        "added_tokens": specials.into_iter().map(|(id, token)| added(id, token, true)).collect::<Vec<_>>(),
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": flag("tokenize_chinese_chars", true),
            "strip_accents": config.get("strip_accents").cloned().unwrap_or(Value::Null),
            "lowercase": flag("do_lower_case", true),
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    });
    Ok((json, named(&SPECIAL, |token| ids.contains_key(token))))
}
