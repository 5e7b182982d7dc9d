//! Models of SentencePiece (arXiv:1808.06226): a protobuf message with pieces, their scores, and how a text is normalised
//! (`sentencepiece_model.proto`). Unigram and BPE models are read.

use std::collections::HashMap;

use base64::prelude::{BASE64_STANDARD, Engine};
use prost::Message;
use serde_json::{Map, Value, json};

use super::{added, named};

/// `ModelProto`, as far as it matters.
#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(message, repeated, tag = "1")]
    pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer: Option<Trainer>,
    #[prost(message, optional, tag = "3")]
    normalizer: Option<Normalizer>,
}

/// `SentencePiece`.
#[derive(Clone, PartialEq, Message)]
struct Piece {
    #[prost(string, optional, tag = "1")]
    piece: Option<String>,
    #[prost(float, optional, tag = "2")]
    score: Option<f32>,
    #[prost(int32, optional, tag = "3", default = "1")]
    kind: Option<i32>,
}

/// `TrainerSpec`.
#[derive(Clone, PartialEq, Message)]
struct Trainer {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
}

/// `NormalizerSpec`.
#[derive(Clone, PartialEq, Message)]
struct Normalizer {
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
}

const UNIGRAM: i32 = 1;
const BPE: i32 = 2;

const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

const SPECIAL: [(&str, &str); 6] = [
    ("bos_token", "<s>"),
    ("eos_token", "</s>"),
    ("unk_token", "<unk>"),
    ("pad_token", "<pad>"),
    ("mask_token", "[MASK]"),
    ("cls_token", "[CLS]"),
];

impl Piece {
    fn text(&self) -> &str {
        self.piece.as_deref().unwrap_or_default()
    }
}

/// `tokenizer.json` of a model, and the settings for its special tokens.
pub(super) fn parse(bytes: &[u8]) -> Result<(Value, Map<String, Value>), String> {
    let model = Model::decode(bytes).map_err(|error| error.to_string())?;
    let ids: HashMap<&str, usize> = model.pieces.iter().enumerate().map(|(id, piece)| (piece.text(), id)).collect();
    if ids.len() < model.pieces.len() || model.pieces.is_empty() {
        return Err(format!("{} pieces, but {} different ones", model.pieces.len(), ids.len()));
    }
    if let Some(piece) = model.pieces.iter().find(|piece| !piece.score().is_finite() || piece.text().is_empty()) {
        return Err(format!("the piece `{}` has the score {}", piece.text(), piece.score()));
    }
    let kind = model.trainer.as_ref().and_then(|trainer| trainer.model_type).unwrap_or(UNIGRAM);
    let network = match kind {
        UNIGRAM => model.unigram()?,
        BPE => model.byte_pairs(&ids),
        other => return Err(format!("model_type is {other}, expected 1 (unigram) or 2 (BPE)")),
    };
    let special = |piece: &&(usize, &Piece)| matches!(piece.1.kind(), UNKNOWN | CONTROL | USER_DEFINED);
    let all: Vec<(usize, &Piece)> = model.pieces.iter().enumerate().collect();
    let specials = all.iter().filter(special).map(|(id, piece)| added(*id, piece.text(), piece.kind() != USER_DEFINED));
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "post_processor": null, "pre_tokenizer": null,
        "added_tokens": specials.collect::<Vec<_>>(),
        "normalizer": model.normalizers()?, "decoder": model.decoders(), "model": network,
    });
    let is_special = |token: &str| ids.get(token).is_some_and(|&id| model.pieces[id].kind() != NORMAL);
    Ok((json, named(&SPECIAL, is_special)))
}

impl Model {
    fn adds_prefix(&self) -> bool {
        self.normalizer.as_ref().and_then(|normalizer| normalizer.add_dummy_prefix).unwrap_or(true)
    }

    fn falls_back(&self) -> bool {
        self.trainer.as_ref().and_then(|trainer| trainer.byte_fallback).unwrap_or(false)
    }

    fn unigram(&self) -> Result<Value, String> {
        let unknown = self.pieces.iter().position(|piece| piece.kind() == UNKNOWN).ok_or("no piece for the unknown")?;
        let pieces: Vec<Value> =
            self.pieces.iter().map(|piece| json!([piece.text(), f64::from(piece.score())])).collect();
        Ok(json!({"type": "Unigram", "unk_id": unknown, "vocab": pieces, "byte_fallback": self.falls_back()}))
    }

    fn byte_pairs(&self, ids: &HashMap<&str, usize>) -> Value {
        let unknown = self.pieces.iter().find(|piece| piece.kind() == UNKNOWN).map(Piece::text);
        let vocabulary: Map<String, Value> =
            self.pieces.iter().enumerate().map(|(id, piece)| (piece.text().to_owned(), id.into())).collect();
        json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": self.falls_back(), "ignore_merges": false,
            "vocab": vocabulary, "merges": self.merges(ids),
        })
    }

    /// Every way to put a piece together from two others; better pieces first, as SentencePiece merges.
    fn merges(&self, ids: &HashMap<&str, usize>) -> Vec<[&str; 2]> {
        let mut merges = Vec::new();
        for (id, piece) in self.pieces.iter().enumerate().filter(|(_, piece)| piece.kind() == NORMAL) {
            for (at, _) in piece.text().char_indices().skip(1) {
                let (left, right) = piece.text().split_at(at);
                if let (Some(&l), Some(&r)) = (ids.get(left), ids.get(right)) {
                    merges.push((piece.score(), (id, l, r), [left, right]));
                }
            }
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        merges.into_iter().map(|merge| merge.2).collect()
    }

    /// The map of characters, extra spaces away, `▁` for a space and before the text.
    fn normalizers(&self) -> Result<Value, String> {
        let given = self.normalizer.clone().unwrap_or_default();
        let mut steps = Vec::new();
        if let Some(map) = given.precompiled_charsmap.filter(|map| !map.is_empty()) {
            steps.push(precompiled(&map)?);
        }
        if given.remove_extra_whitespaces.unwrap_or(true) {
            steps.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
            steps.push(json!({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}));
        }
        if self.adds_prefix() {
            steps.push(json!({"type": "Prepend", "prepend": "▁"}));
        }
        steps.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"}));
        Ok(json!({"type": "Sequence", "normalizers": steps}))
    }

    fn decoders(&self) -> Value {
        let mut steps = vec![
            json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if self.adds_prefix() {
            steps.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        json!({"type": "Sequence", "decoders": steps})
    }
}

/// The normaliser of a map of characters. Its trie is followed without checks by those who read it, so it must at least be whole.
fn precompiled(map: &[u8]) -> Result<Value, String> {
    let size = map.first_chunk::<4>().map_or(usize::MAX, |size| u32::from_le_bytes(*size) as usize);
    if size % 4 != 0 || map.len() < 4 || size > map.len() - 4 {
        return Err(format!("the map of characters says that its trie has {size} bytes, of {}", map.len()));
    }
    Ok(json!({"type": "Precompiled", "precompiled_charsmap": BASE64_STANDARD.encode(map)}))
}
