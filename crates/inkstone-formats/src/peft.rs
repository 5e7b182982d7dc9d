//! Folders of adapters as the PEFT library has them: `adapter_config.json` and `adapter_model.safetensors`.
//!
//! <https://huggingface.co/docs/peft/developer_guides/checkpoint>

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::FormatError;
use crate::aside;
use crate::safetensors::{PT_FORMAT, TensorFile, TensorView, write_tensors};

/// The file that says what the adapter is.
pub const ADAPTER_CONFIG: &str = "adapter_config.json";
/// The file with its numbers.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// What stands before the name of a module of the base model.
pub const PREFIX: &str = "base_model.model.";

/// The tensor of prompt and prefix tuning, which is no module's and has no prefix.
pub const PROMPT: &str = "prompt_embeddings";

/// Largest `adapter_config.json` that is read.
const MAX_CONFIG_BYTES: u64 = 1 << 20;

/// The fields of `adapter_config.json` that matter to the maths.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the fields of the file")]
pub struct AdapterConfig {
    /// `LORA`, `IA3`, ….
    pub peft_type: String,
    /// `CAUSAL_LM`, ….
    #[serde(default)]
    pub task_type: Option<String>,
    /// Where the base model was.
    #[serde(default)]
    pub base_model_name_or_path: Option<String>,
    /// Whether it is there to be used, not to be trained.
    #[serde(default = "yes")]
    pub inference_mode: bool,
    /// The modules that it changes: names, or ends of names.
    #[serde(default)]
    pub target_modules: Modules,
    /// Those of them whose input is scaled, not their output (`IA3`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedforward_modules: Option<Modules>,
    /// Whether the weights of the base model lie inputs first.
    #[serde(default)]
    pub fan_in_fan_out: bool,
    /// Rank (`LORA`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<usize>,
    /// Tokens before every text (`PROMPT_TUNING`, `PREFIX_TUNING`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_virtual_tokens: Option<usize>,
    /// Width of their embeddings, or of their keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_dim: Option<usize>,
    /// Blocks of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_layers: Option<usize>,
    /// Heads of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_attention_heads: Option<usize>,
    /// Stacks of blocks that have such tokens: 1, or 2 for encoder and decoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub num_transformer_submodules: Option<usize>,
    /// Whether keys and values are made by a network (`PREFIX_TUNING`), and how wide it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix_projection: Option<bool>,
    /// Width of that network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_hidden_size: Option<usize>,
    /// What fixed directions are drawn from (`INTRINSIC`, which is ours).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// The change is scaled by this over the rank (`LORA`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_alpha: Option<f64>,
    /// Share of inputs that training drops.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora_dropout: Option<f64>,
    /// Which biases are trained besides: `none`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bias: Option<String>,
    /// Whether the change is scaled by the root of the rank instead (`rsLoRA`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_rslora: bool,
    /// Whether magnitudes are apart from directions (`DoRA`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_dora: bool,
}

fn yes() -> bool {
    true
}

/// Which modules: a list of names or ends of names, or one pattern.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Modules {
    /// Each is the whole name of a module or its end after a dot.
    Names(Vec<String>),
    /// A regular expression, or `all-linear`.
    Pattern(String),
}

impl Default for Modules {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

/// An open folder.
#[derive(Debug)]
pub struct PeftFolder {
    /// Where it is.
    pub path: PathBuf,
    /// What the adapter is.
    pub config: AdapterConfig,
    /// Every field of its config, those that are not understood included.
    pub raw: Value,
    /// Its numbers.
    pub tensors: TensorFile,
}

impl PeftFolder {
    /// Opens `path`.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let file = path.join(ADAPTER_CONFIG);
        let missing = |expected| FormatError::Missing { folder: path.to_owned(), expected };
        if !file.exists() {
            return Err(missing(ADAPTER_CONFIG));
        }
        if !path.join(ADAPTER_WEIGHTS).exists() {
            return Err(missing(ADAPTER_WEIGHTS));
        }
        let got = std::fs::metadata(&file).map_err(FormatError::io(&file, "look at"))?.len();
        if got > MAX_CONFIG_BYTES {
            return Err(FormatError::TooLarge { path: file, what: "the config", limit: MAX_CONFIG_BYTES, got });
        }
        let bytes = std::fs::read(&file).map_err(FormatError::io(&file, "read"))?;
        let bad = |error: serde_json::Error| FormatError::Json {
            path: file.clone(),
            line: error.line(),
            detail: error.to_string(),
        };
        let raw: Value = serde_json::from_slice(&bytes).map_err(bad)?;
        let config = serde_json::from_slice(&bytes).map_err(bad)?;
        Ok(Self { path: path.to_owned(), config, raw, tensors: TensorFile::open(&path.join(ADAPTER_WEIGHTS))? })
    }
}

/// Writes an adapter; `tensors` by the names of the base model's modules, without [`PREFIX`].
pub fn write_adapter(
    folder: &Path,
    config: &AdapterConfig,
    tensors: &[(String, TensorView<'_>)],
) -> Result<(), FormatError> {
    std::fs::create_dir_all(folder).map_err(FormatError::io(folder, "create"))?;
    let named: Vec<_> = tensors.iter().map(|(name, view)| (prefixed(name), *view)).collect();
    write_tensors(&folder.join(ADAPTER_WEIGHTS), &named, &[PT_FORMAT])?;
    let text = serde_json::to_string_pretty(config).expect("invariant: plain data") + "\n";
    aside::write(&folder.join(ADAPTER_CONFIG), text.as_bytes())
}

fn prefixed(name: &str) -> String {
    if name == PROMPT { name.to_owned() } else { format!("{PREFIX}{name}") }
}
