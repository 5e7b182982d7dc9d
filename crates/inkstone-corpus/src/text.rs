//! From a record's value to a text: keys, Unicode normalisation, cutting.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

/// A Unicode normalisation form.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalization {
    /// Composed characters, nothing lost.
    #[default]
    Nfc,
    /// Also compatibility characters (full-width Latin, ligatures) in their plain form.
    Nfkc,
    /// As it is.
    None,
}

/// Where to cut a text that is longer than `max`: behind the last line feed, or else between two
/// characters.
pub(crate) fn cut(text: &str, max: usize) -> usize {
    let at = text.floor_char_boundary(max);
    text[..at].rfind('\n').map_or(at, |newline| newline + 1)
}

/// `text` in the given form.
pub(crate) fn normalize(text: &str, form: Normalization) -> String {
    let normal = match form {
        _ if text.is_ascii() => true,
        Normalization::None => true,
        Normalization::Nfc => is_nfc_quick(text.chars()) == IsNormalized::Yes,
        Normalization::Nfkc => is_nfkc_quick(text.chars()) == IsNormalized::Yes,
    };
    match form {
        _ if normal => text.to_owned(),
        Normalization::Nfkc => text.nfkc().collect(),
        _ => text.nfc().collect(),
    }
}

/// A record's own `meta`, where it is an object.
pub(crate) fn take_meta(value: &mut Value) -> Map<String, Value> {
    match value.get_mut("meta").map(Value::take) {
        Some(Value::Object(meta)) => meta,
        _ => Map::new(),
    }
}

/// What a JSON value is, in words.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The first keys of a record, for a complaint about a missing one.
pub(crate) fn keys_of(object: &Map<String, Value>) -> String {
    let names: Vec<_> = object.keys().take(8).map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "the record is empty".to_owned() } else { format!("the record has {}", names.join(", ")) }
}
