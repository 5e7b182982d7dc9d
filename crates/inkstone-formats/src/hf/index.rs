//! `model.safetensors.index.json`: which tensor is in which file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Component, Path};

use serde_json::Value;

use super::MAX_JSON_BYTES;
use crate::FormatError;

/// Reads a JSON file of bounded size.
pub(super) fn read_json(path: &Path) -> Result<Value, FormatError> {
    let file = File::open(path).map_err(FormatError::io(path, "open"))?;
    let mut text = Vec::new();
    let read = file.take(MAX_JSON_BYTES + 1).read_to_end(&mut text).map_err(FormatError::io(path, "read"))?;
    if read as u64 > MAX_JSON_BYTES {
        let what = "the file";
        return Err(FormatError::TooLarge { path: path.to_owned(), what, limit: MAX_JSON_BYTES, got: read as u64 });
    }
    serde_json::from_slice(&text).map_err(|error| FormatError::Json {
        path: path.to_owned(),
        line: error.line(),
        detail: error.to_string(),
    })
}

/// Reads a JSON file that must hold an object.
pub(super) fn read_object(path: &Path) -> Result<Value, FormatError> {
    let value = read_json(path)?;
    if value.is_object() { Ok(value) } else { Err(not_an_object(path, "the file")) }
}

/// The file of every tensor, all of them plain names of safetensors files beside the index.
pub(super) fn read_index(path: &Path) -> Result<BTreeMap<String, String>, FormatError> {
    let index = read_object(path)?;
    let Some(Value::Object(map)) = index.get("weight_map") else {
        return Err(not_an_object(path, "`weight_map`"));
    };
    map.iter().map(|(tensor, file)| Ok((tensor.clone(), checked_name(path, tensor, file)?))).collect()
}

fn checked_name(path: &Path, tensor: &str, file: &Value) -> Result<String, FormatError> {
    let refuse = |reason| FormatError::Index {
        path: path.to_owned(),
        tensor: tensor.to_owned(),
        file: file.as_str().map_or_else(|| file.to_string(), str::to_owned),
        reason,
    };
    let name = file.as_str().ok_or_else(|| refuse("the name of a file is a string"))?;
    if !is_plain(name) {
        return Err(refuse("a shard must lie beside the index, so its name has no folder in it"));
    }
    if Path::new(name).extension().is_none_or(|extension| extension != "safetensors" && extension != "bin") {
        return Err(refuse("a shard is a .safetensors or .bin file"));
    }
    Ok(name.to_owned())
}

/// One name without separators of any system, `..`, a drive or a zero byte.
fn is_plain(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let single = matches!((components.next(), components.next()), (Some(Component::Normal(_)), None));
    single && !name.contains(['/', '\\', ':', '\0'])
}

fn not_an_object(path: &Path, what: &str) -> FormatError {
    FormatError::Json { path: path.to_owned(), line: 1, detail: format!("{what} must be a JSON object") }
}
