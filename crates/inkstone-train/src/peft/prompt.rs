//! Prompt tuning (arXiv:2104.08691): embeddings of tokens that stand before every document are learnt, and nothing else.
//!
//! Departure from the PEFT library, which draws the first embeddings with deviation 1: they are drawn like those of the model.

use inkstone_formats::peft::{AdapterConfig, Modules};
use inkstone_models::{Drawn, Init, ModelError, Wanted, WantedLayer, Weights};
use inkstone_nn::Embedding;
use serde::{Deserialize, Serialize};

use super::adapter::Adapter;
use super::lora::config;

/// `peft_type`.
pub(super) const TYPE: &str = "PROMPT_TUNING";
/// The one tensor.
pub(super) const TENSOR: &str = inkstone_formats::peft::PROMPT;

/// The fields of `peft = { method = "prompt", … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Tokens before every document. Default 16.
    #[serde(default = "sixteen")]
    pub virtual_tokens: usize,
}

fn sixteen() -> usize {
    16
}

/// Most tokens.
pub(super) const MOST: usize = 1 << 12;

impl Table {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.virtual_tokens == 0 || self.virtual_tokens > MOST {
            return Err(format!("`peft.virtual_tokens` is {}, expected 1 to {MOST}", self.virtual_tokens));
        }
        Ok(())
    }

    pub(super) fn config(&self) -> AdapterConfig {
        AdapterConfig { num_virtual_tokens: Some(self.virtual_tokens), ..config(TYPE, Modules::default()) }
    }
}

/// The token embedding `wanted` of what `inner` has, with rows for the virtual tokens: read and scaled by `factor`, or drawn where the
/// adapter is new.
pub(super) fn extended(
    adapter: &Adapter,
    inner: &mut dyn Weights,
    wanted: &WantedLayer<'_>,
    (seed, factor): (u64, f64),
) -> Result<Embedding, ModelError> {
    let shape = [adapter.virtual_tokens(), wanted.outputs];
    let rows = if let Some(read) = adapter.tensor(TENSOR, &shape)? {
        read.into_iter().map(|x| x * factor as f32).collect()
    } else {
        let drawn = Wanted { name: TENSOR, shape: &shape, init: Init::Normal(wanted.std), product: false };
        Drawn { seed }.tensor(&drawn)?
    };
    Ok(inner.embedding(wanted)?.extended(wanted.inputs, rows, wanted.outputs, wanted.device))
}
