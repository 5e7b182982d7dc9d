//! The tokenizer among a file's entries.
//!
//! A file written here holds `tokenizer.json` itself (`tokenizer.huggingface.json`, an entry of the GGUF specification) beside the tables that
//! llama.cpp reads. Of a file from elsewhere the tables are turned into a `tokenizer.json`: byte-level BPE (`gpt2`) with the splitting rule that
//! `tokenizer.ggml.pre` names, and SentencePiece's BPE (`llama`), whose merges follow from the scores.

use std::collections::HashMap;

use inkstone_formats::gguf::{GgufFile, GgufValue};
use inkstone_tokenizer::Tokenizer;
use serde_json::{Map, Value, json};

use crate::CompressError;

const WHOLE: &str = "tokenizer.huggingface.json";
const TEMPLATE: &str = "tokenizer.chat_template";
/// Roles: the entry's name, the field of `tokenizer_config.json`.
const ROLES: [(&str, &str); 7] = [
    ("bos", "bos_token"),
    ("eos", "eos_token"),
    ("unknown", "unk_token"),
    ("seperator", "sep_token"),
    ("padding", "pad_token"),
    ("cls", "cls_token"),
    ("mask", "mask_token"),
];
/// Kinds of tokens: ordinary, unknown, control, the user's, a byte.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER: i32 = 4;
const BYTE: i32 = 6;

/// Splitting rules by their names, longest-known first (as in the `tokenizer.json` of the models that they are named after).
const RULES: [(&str, &str); 3] = [
    (
        "llama-bpe",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    (
        "qwen2",
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    ),
    ("gpt-2", r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"),
];

/// The tokenizer of a file.
pub(super) fn tokenizer_of(file: &GgufFile) -> Result<Tokenizer, CompressError> {
    let template = file.get(TEMPLATE).and_then(GgufValue::as_str);
    let tokens = Tokens::of(file);
    let json = match file.get(WHOLE).and_then(GgufValue::as_str) {
        Some(whole) => whole.to_owned(),
        None => tokens.tokenizer_json(file)?.to_string(),
    };
    let mut config = Map::new();
    for (role, field) in ROLES {
        let id = file.get(&format!("tokenizer.ggml.{role}_token_id")).and_then(GgufValue::as_u64);
        if let Some(token) = id.and_then(|id| tokens.tokens.get(id as usize)) {
            config.insert(field.into(), (*token).into());
        }
    }
    Ok(Tokenizer::from_parts(file.path(), json.as_bytes(), config, template)?)
}

/// The tables of a file.
struct Tokens<'a> {
    tokens: Vec<&'a str>,
    kinds: Vec<i32>,
}

impl<'a> Tokens<'a> {
    fn of(file: &'a GgufFile) -> Self {
        let array = |key: &str| file.get(key).and_then(GgufValue::as_array);
        let tokens = array("tokenizer.ggml.tokens").unwrap_or_default().iter().filter_map(GgufValue::as_str).collect();
        let kinds = array("tokenizer.ggml.token_type").unwrap_or_default();
        let kinds = kinds.iter().map(|kind| kind.as_u64().unwrap_or(1) as i32).collect();
        Self { tokens, kinds }
    }

    fn kind(&self, id: usize) -> i32 {
        self.kinds.get(id).copied().unwrap_or(NORMAL)
    }

    /// The `tokenizer.json` that the tables mean.
    fn tokenizer_json(&self, file: &GgufFile) -> Result<Value, CompressError> {
        match file.get("tokenizer.ggml.model").and_then(GgufValue::as_str) {
            Some("gpt2") => Ok(self.byte_level(file)),
            Some("llama") => Ok(self.sentence_piece(file)),
            other => Err(CompressError::Entry {
                path: file.path().to_owned(),
                key: "tokenizer.ggml.model".into(),
                got: other.unwrap_or("missing").to_owned(),
                expected: "gpt2 or llama, or a whole tokenizer.json",
            }),
        }
    }

    fn byte_level(&self, file: &GgufFile) -> Value {
        let rule = file.get("tokenizer.ggml.pre").and_then(GgufValue::as_str).unwrap_or("default");
        let pattern = RULES.iter().find(|(name, _)| *name == rule).unwrap_or(&RULES[2]).1;
        let merges = file.get("tokenizer.ggml.merges").and_then(GgufValue::as_array).unwrap_or_default();
        let merges: Vec<&str> = merges.iter().filter_map(GgufValue::as_str).collect();
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": self.added(), "normalizer": null,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, bytes]},
            "post_processor": null, "decoder": bytes,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": rule == "llama-bpe",
                "vocab": self.vocabulary(), "merges": merges,
            },
        })
    }

    fn sentence_piece(&self, file: &GgufFile) -> Value {
        let prefix = file.get("tokenizer.ggml.add_space_prefix").and_then(GgufValue::as_bool).unwrap_or(true);
        let mut normalizers = vec![json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"})];
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            normalizers.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        let unknown = (0..self.tokens.len()).find(|&id| self.kind(id) == UNKNOWN).map(|id| self.tokens[id]);
        json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": self.added(),
            "normalizer": {"type": "Sequence", "normalizers": normalizers}, "pre_tokenizer": null, "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": decoders},
            "model": {
                "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
                "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false,
                "vocab": self.vocabulary(), "merges": self.merges(file),
            },
        })
    }

    /// Every way to put a token together from two others; better tokens first, as SentencePiece merges.
    fn merges(&self, file: &GgufFile) -> Vec<[&str; 2]> {
        let scores = file.get("tokenizer.ggml.scores").and_then(GgufValue::as_array).unwrap_or_default();
        let score = |id: usize| scores.get(id).and_then(GgufValue::as_f64).unwrap_or(0.0);
        let ids: HashMap<&str, usize> = self.tokens.iter().enumerate().map(|(id, token)| (*token, id)).collect();
        let mut merges = Vec::new();
        for (id, token) in self.tokens.iter().enumerate().filter(|(id, _)| self.kind(*id) == NORMAL) {
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                    merges.push((score(id), id, l, r, [left, right]));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2, a.3).cmp(&(b.1, b.2, b.3))));
        merges.into_iter().map(|merge| merge.4).collect()
    }

    fn vocabulary(&self) -> Map<String, Value> {
        self.tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect()
    }

    fn added(&self) -> Vec<Value> {
        let special = |id: &usize| [UNKNOWN, CONTROL, USER].contains(&self.kind(*id));
        let token = |id: usize| {
            json!({
                "id": id, "content": self.tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": self.kind(id) != USER,
            })
        };
        (0..self.tokens.len()).filter(special).map(token).collect()
    }
}

/// The entries of a tokenizer; `json` is its `tokenizer.json`.
pub(super) fn entries_of(json: &Value, tokenizer: &Tokenizer, vocabulary: usize) -> Vec<(String, GgufValue)> {
    let model = &json["model"];
    let kind = kind_of(json);
    let mut entries = vec![("tokenizer.ggml.model".to_owned(), GgufValue::String(kind.into()))];
    let mut put = |key: &str, value: GgufValue| entries.push((format!("tokenizer.{key}"), value));
    if kind == "gpt2" {
        put("ggml.pre", GgufValue::String(rule_of(json).into()));
    }
    let name = |id: usize| tokenizer.token(id as u32).unwrap_or_else(|| format!("[unused{id}]"));
    put("ggml.tokens", GgufValue::strings((0..vocabulary).map(name)));
    if let Some(scores) = scores_of(model, vocabulary) {
        put("ggml.scores", GgufValue::floats(scores));
    }
    put("ggml.token_type", GgufValue::integers(kinds_of(json, tokenizer, vocabulary)));
    let merge = |merge: &Value| match merge {
        Value::String(both) => both.clone(),
        pair => format!("{} {}", pair[0].as_str().unwrap_or(""), pair[1].as_str().unwrap_or("")),
    };
    if let Some(merges) = model["merges"].as_array() {
        put("ggml.merges", GgufValue::strings(merges.iter().map(merge)));
    }
    let ids = [
        ("bos", tokenizer.bos()),
        ("eos", tokenizer.eos()),
        ("unknown", tokenizer.unk()),
        ("padding", tokenizer.pad()),
    ];
    for (role, id) in ids {
        if let Some(id) = id {
            put(&format!("ggml.{role}_token_id"), GgufValue::U32(id));
        }
    }
    put("ggml.add_bos_token", GgufValue::Bool(tokenizer.bos().is_some()));
    put("huggingface.json", GgufValue::String(json.to_string()));
    if let Some(template) = tokenizer.chat_template() {
        put("chat_template", GgufValue::String(template.to_owned()));
    }
    entries
}

/// What llama.cpp calls this kind of tokenizer.
fn kind_of(json: &Value) -> &'static str {
    match (json["model"]["type"].as_str(), json["model"]["byte_fallback"].as_bool()) {
        (Some("WordPiece"), _) => "bert",
        (Some("Unigram"), _) => "t5",
        (_, Some(true)) => "llama",
        _ => "gpt2",
    }
}

/// The name of the splitting rule that is most like this tokenizer's.
fn rule_of(json: &Value) -> &'static str {
    let text = json["pre_tokenizer"].to_string();
    let like = |part: &str| text.contains(&Value::from(part).to_string().trim_matches('"').to_owned());
    match () {
        () if like(r"\p{N}{1,3}") => "llama-bpe",
        () if like(r"[^\r\n\p{L}\p{N}]?\p{L}+") => "qwen2",
        () => "gpt-2",
    }
}

/// Unigram's own scores; for SentencePiece's BPE the order of the ids.
fn scores_of(model: &Value, vocabulary: usize) -> Option<Vec<f32>> {
    if let Some(pieces) = model["vocab"].as_array() {
        let score = |id: usize| pieces.get(id).and_then(|piece| piece[1].as_f64()).unwrap_or(0.0) as f32;
        return Some((0..vocabulary).map(score).collect());
    }
    (model["byte_fallback"] == true).then(|| (0..vocabulary).map(|id| -(id as f32)).collect())
}

fn kinds_of(json: &Value, tokenizer: &Tokenizer, vocabulary: usize) -> Vec<i32> {
    let bytes = json["model"]["byte_fallback"] == true;
    let kind = |id: usize| {
        let token = tokenizer.token(id as u32);
        match token {
            None => CONTROL,
            Some(_) if tokenizer.unk() == Some(id as u32) => UNKNOWN,
            Some(_) if tokenizer.is_special(id as u32) => CONTROL,
            Some(token) if bytes && token.len() == 6 && token.starts_with("<0x") => BYTE,
            Some(_) => NORMAL,
        }
    };
    (0..vocabulary).map(kind).collect()
}
