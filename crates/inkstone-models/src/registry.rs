//! Looking an architecture up by the `model_type` of a `config.json`.

use serde_json::Value;

use crate::architecture::{Entry, Kind};
use crate::{ARCHITECTURES, ModelError};

/// The entry that knows the model type, and the class of its models.
pub(crate) fn find(model_type: &str) -> Option<(&'static Entry, &'static str)> {
    ARCHITECTURES.iter().find_map(|entry| {
        let (_, class) = entry.types.iter().find(|(name, _)| *name == model_type)?;
        Some((entry, *class))
    })
}

/// The entry of the model that `config` describes.
pub(crate) fn entry_of(config: &Value) -> Result<&'static Entry, ModelError> {
    let kind = match config.get("model_type").and_then(Value::as_str).unwrap_or("missing") {
        // Two architectures were published under this name.
        "glm" if config.get("block_position_encoding").is_some() => "glm_2021",
        // A layout of another time.
        "chatglm" => "glm",
        kind => kind,
    };
    let (entry, _) =
        find(kind).ok_or_else(|| ModelError::Architecture { got: kind.to_owned(), known: model_types() })?;
    Ok(entry)
}

/// What the model that `config` describes reads and what it predicts.
pub fn kind(config: &Value) -> Result<Kind, ModelError> {
    Ok(entry_of(config)?.kind)
}

/// Whether tokens of several sequences may go side by side through the model that `config` describes (by way of a
/// [`Store`](crate::Store)).
pub fn is_side_by_side(config: &Value) -> bool {
    entry_of(config).is_ok_and(|entry| entry.side_by_side)
}

/// Values of `model_type` that are implemented.
pub fn model_types() -> Vec<&'static str> {
    ARCHITECTURES.iter().flat_map(|entry| entry.types).map(|(name, _)| *name).collect()
}
