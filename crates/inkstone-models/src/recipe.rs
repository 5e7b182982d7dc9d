//! The `model` table of a recipe: an architecture, and fields of its `config.json`.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Entry, Kind};
use crate::registry::{find, model_types};

/// A model as a recipe describes it. Its fields are those of the architecture's `config.json`; what they leave out has
/// the architecture's default, and the tokenizer fixes the rest.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelTable {
    architecture: String,
    #[serde(flatten)]
    fields: Map<String, Value>,
}

/// What the tokenizer fixes of a model's `config.json`.
#[derive(Debug, Clone, Copy)]
pub struct Vocabulary {
    /// Number of token ids.
    pub size: usize,
    /// Id that begins a document, where there is one.
    pub bos: Option<u32>,
    /// Id that ends a document, where there is one.
    pub eos: Option<u32>,
    /// Id of padding, where there is one.
    pub pad: Option<u32>,
}

/// The field of every `config.json` that the tokenizer fixes.
const VOCABULARY: &str = "vocab_size";
/// What the decoder of an encoder-decoder begins with: padding, as the published ones do, unless a recipe says otherwise.
const START: &str = "decoder_start_token_id";

impl<'de> Deserialize<'de> for ModelTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut fields = Map::deserialize(deserializer)?;
        let Some(architecture) = fields.remove("architecture") else {
            return Err(D::Error::missing_field("architecture"));
        };
        let architecture = architecture.as_str().unwrap_or_default().to_owned();
        let Some((entry, _)) = find(&architecture) else {
            return Err(D::Error::unknown_variant(&architecture, known_types()));
        };
        let known = (entry.fields)();
        let settable = |key: &str| known.contains(&key) && key != VOCABULARY && key != "model_type";
        if let Some(key) = fields.keys().find(|key| !settable(key)) {
            return Err(D::Error::unknown_field(key, known));
        }
        (entry.complete)(&mut fields);
        let mut table = Self { architecture, fields };
        table.resolve(entry).map_err(D::Error::custom)?;
        Ok(table)
    }
}

impl ModelTable {
    /// Writes the defaults out, except for what the training's context and the tokenizer decide.
    fn resolve(&mut self, entry: &Entry) -> Result<(), String> {
        let free = !self.fields.contains_key(entry.positions);
        let Value::Object(mut fields) = (entry.resolve)(&self.with(1, 1)).map_err(|error| said(&error))? else {
            return Ok(());
        };
        let starts = self.fields.contains_key(START);
        let decided = |key: &str| {
            key == VOCABULARY || key == "model_type" || (free && key == entry.positions) || (!starts && key == START)
        };
        fields.retain(|key, value| !decided(key) && !value.is_null());
        self.fields = fields;
        Ok(())
    }

    /// The architecture's `config.json`, in the spellings of transformers 5 and 4.
    pub fn config_json(&self, vocabulary: Vocabulary, context: usize) -> Value {
        let mut asked = self.with(vocabulary.size, context);
        let Some((entry, class)) = find(&self.architecture) else { return asked };
        if let (Kind::EncoderDecoder, Some(pad)) = (entry.kind, vocabulary.pad)
            && !self.fields.contains_key(START)
        {
            asked[START] = pad.into();
        }
        let fields = (entry.resolve)(&asked).unwrap_or(asked);
        let mut config = json!({"architectures": [class], "model_type": self.architecture});
        let rest = json!({
            "use_cache": true,
            "bos_token_id": vocabulary.bos,
            "eos_token_id": vocabulary.eos,
            "pad_token_id": vocabulary.pad,
            "dtype": "float32",
            "torch_dtype": "float32",
        });
        for part in [fields, rest] {
            let Value::Object(part) = part else { continue };
            // An empty list of classes is one that the recipe left out.
            let said =
                |key: &str, value: &Value| key != "model_type" && !(key == "architectures" && *value == json!([]));
            for (key, value) in part.into_iter().filter(|(key, value)| said(key, value)) {
                config[key] = value;
            }
        }
        config
    }

    /// What is wrong with the shape, if anything.
    pub fn validate(&self, context: usize) -> Result<(), String> {
        let Some((entry, _)) = find(&self.architecture) else { return Ok(()) };
        let dimensions = (entry.dimensions)(&self.with(1, context)).map_err(|error| said(&error))?;
        if dimensions.positions < context {
            let (longest, field) = (dimensions.positions, entry.positions);
            return Err(format!("`context` is {context}, more than model.{field} = {longest}"));
        }
        Ok(())
    }

    /// The longest sequence of the model, given the context of its training; the context where the table is wrong.
    pub fn positions(&self, context: usize) -> usize {
        let Some((entry, _)) = find(&self.architecture) else { return context };
        (entry.dimensions)(&self.with(1, context)).map_or(context, |dimensions| dimensions.positions)
    }

    /// What a model of this architecture reads and what it predicts.
    pub fn kind(&self) -> Kind {
        find(&self.architecture).map_or(Kind::Decoder, |(entry, _)| entry.kind)
    }

    /// The fields with what the tokenizer and the context decide.
    fn with(&self, vocabulary: usize, context: usize) -> Value {
        let mut config = self.fields.clone();
        config.insert("model_type".into(), self.architecture.clone().into());
        config.insert(VOCABULARY.into(), vocabulary.into());
        if let Some((entry, _)) = find(&self.architecture) {
            config.entry(entry.positions).or_insert_with(|| context.into());
        }
        Value::Object(config)
    }
}

/// An error of a config in the words of a recipe.
fn said(error: &ModelError) -> String {
    match error {
        ModelError::Config { field, got, expected } => format!("`model.{field}` is {got}, expected {expected}"),
        ModelError::Parse(error) => format!("`model`: {error}"),
        error => error.to_string(),
    }
}

/// The names of the architectures, for an error that wants them for ever.
fn known_types() -> &'static [&'static str] {
    static NAMES: std::sync::OnceLock<Vec<&'static str>> = std::sync::OnceLock::new();
    NAMES.get_or_init(model_types)
}
