//! `vocab.json` and `merges.txt` of GPT-2 and RoBERTa: pieces with their ids, and pairs of pieces, the first to be merged on top
//! (Radford et al. 2019, section 2.2).

use serde_json::{Map, Value, json};

use super::{added, named};

/// Special tokens of either, with their roles.
const SPECIAL: [(&str, &str); 9] = [
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "<mask>"),
    ("sep_token", "</s>"),
    ("cls_token", "<s>"),
    ("bos_token", "<|endoftext|>"),
    ("eos_token", "<|endoftext|>"),
];

/// Ids by piece.
pub(super) fn vocabulary(json: &[u8]) -> Result<Map<String, Value>, String> {
    let vocabulary: Map<String, Value> = serde_json::from_slice(json).map_err(|error| error.to_string())?;
    let wrong = |id: &Value| id.as_u64().is_none_or(|id| id > u64::from(u32::MAX));
    match vocabulary.iter().find(|(_, id)| wrong(id)) {
        Some((piece, id)) => Err(format!("the id of `{piece}` is {id}")),
        None => Ok(vocabulary),
    }
}

/// `tokenizer.json` of a vocabulary and lines of merges; the first line may be a comment.
pub(super) fn parse(vocabulary: &Map<String, Value>, merges: &str) -> Result<Value, String> {
    let mut pairs = Vec::new();
    for (number, line) in merges.lines().enumerate() {
        if line.trim().is_empty() || (number == 0 && line.starts_with("#version")) {
            continue;
        }
        let pair = line.split_once(' ').filter(|(_, right)| !right.contains(' '));
        let (left, right) = pair.ok_or_else(|| format!("line {}: expected two pieces", number + 1))?;
        for piece in [left, right, &format!("{left}{right}")] {
            if !vocabulary.contains_key(piece) {
                return Err(format!("line {}: the vocabulary has no `{piece}`", number + 1));
            }
        }
        pairs.push(json!([left, right]));
    }
    let special = |piece: &str| SPECIAL.iter().any(|(_, token)| *token == piece);
    let mut specials: Vec<(u64, &String)> = vocabulary
        .iter()
        .filter(|(piece, _)| special(piece))
        .filter_map(|(piece, id)| Some((id.as_u64()?, piece)))
        .collect();
    specials.sort_unstable();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
        "added_tokens": specials.into_iter().map(|(id, piece)| added(id as usize, piece, true)).collect::<Vec<_>>(),
        "pre_tokenizer": bytes, "decoder": bytes,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
            "fuse_unk": false, "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": pairs,
        },
    }))
}

/// The special tokens by their roles.
pub(super) fn settings(vocabulary: &Map<String, Value>) -> Map<String, Value> {
    named(&SPECIAL, |token| vocabulary.contains_key(token))
}
