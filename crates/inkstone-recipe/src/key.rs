//! Keys (what would be made) and content ids (what was made).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::manifest::{ContentId, FileEntry, Key};

/// Everything that decides a stage's bytes.
pub(crate) struct Ingredients<'a> {
    pub(crate) kind: &'a str,
    pub(crate) version: u32,
    /// The resolved config, stage names replaced.
    pub(crate) config: Value,
    pub(crate) inputs: &'a BTreeMap<String, ContentId>,
    pub(crate) seed: u64,
    pub(crate) sources: &'a [FileEntry],
}

impl Ingredients<'_> {
    /// BLAKE3 over the canonical JSON of all of it.
    pub(crate) fn key(&self) -> Key {
        let sources: Vec<Value> = self.sources.iter().map(|s| json!([s.path, s.blake3])).collect();
        let all = json!({
            "kind": self.kind, "version": self.version, "config": self.config, "inputs": self.inputs,
            "seed": self.seed, "sources": sources,
        });
        Key(hex(canonical(&all).to_string().as_bytes()))
    }
}

/// BLAKE3 over path, size and hash of each file, which must be sorted by path.
pub(crate) fn content_id(files: &[FileEntry]) -> ContentId {
    let list: Vec<Value> = files.iter().map(|f| json!([f.path, f.bytes, f.blake3])).collect();
    ContentId(hex(Value::from(list).to_string().as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The same value with sorted keys.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(canonical).collect(),
        Value::Object(map) => {
            let sorted: BTreeMap<&String, Value> = map.iter().map(|(k, v)| (k, canonical(v))).collect();
            Value::Object(sorted.into_iter().map(|(k, v)| (k.clone(), v)).collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_keys_does_not_matter() {
        let a: Value = serde_json::from_str(r#"{"b": {"y": 1, "x": [2]}, "a": 3}"#).unwrap_or_default();
        assert_eq!(canonical(&a).to_string(), r#"{"a":3,"b":{"x":[2],"y":1}}"#);
    }
}
