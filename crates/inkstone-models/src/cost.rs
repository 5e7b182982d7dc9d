//! What a model will cost, from its `config.json` alone.

use inkstone_nn::{Precision, device};
use serde_json::Value;

use crate::architecture::Dimensions;
use crate::registry::entry_of;
use crate::weights::Counted;
use crate::{Model, ModelError};

/// Sizes of the model that `config` describes.
pub fn dimensions(config: &Value) -> Result<Dimensions, ModelError> {
    (entry_of(config)?.dimensions)(config)
}

/// The same `config.json` with `layers` blocks (and as many again where there are an encoder and a decoder).
pub fn with_layers(config: &Value, layers: usize) -> Result<Value, ModelError> {
    let mut config = config.clone();
    for field in entry_of(&config)?.layers {
        config[*field] = layers.into();
    }
    Ok(config)
}

/// Parameters of the model that `config` describes, without building it.
pub fn expected_parameters(config: &Value) -> Result<u64, ModelError> {
    Ok(count(config)?.parameters)
}

/// FLOPs of training on one token (forward and backward) with rows of `context` tokens: six for each parameter in a product
/// (`PaLM`, arXiv:2204.02311, appendix B), and twelve for each layer, head, head width and key of the attention, of
/// which a causal query sees half.
pub fn expected_flops_per_token(config: &Value, context: usize) -> Result<f64, ModelError> {
    let Dimensions { layers, heads, head_width, .. } = dimensions(config)?;
    let scores = layers * heads * head_width * context;
    Ok(6.0 * count(config)?.products as f64 + 6.0 * scores as f64)
}

/// Weight, its gradient as it comes and as it is summed, and two moments.
const BYTES_PER_PARAMETER: u64 = 20;
/// The program, its buffers and the tokenizer.
const FIXED_BYTES: u64 = 144 << 20;

/// Peak resident bytes of training with `batch` rows of `context` tokens: the optimiser's state, what the operations keep for the
/// backward pass, and a fixed share.
pub fn training_bytes(config: &Value, batch: usize, context: usize) -> Result<u64, ModelError> {
    let activations = (batch * context) as u64 * saved_per_token(&dimensions(config)?) * 4;
    Ok(expected_parameters(config)? * BYTES_PER_PARAMETER + activations + FIXED_BYTES)
}

/// Numbers that the operations of one training step keep for each token: per block the inputs of two norms and of the
/// projections behind them, queries, keys, values, the attention's output, gate, up and their product; then the head's
/// input, the logits and their gradient.
fn saved_per_token(dimensions: &Dimensions) -> u64 {
    let Dimensions { vocabulary, width, layers, heads, key_heads, head_width, feed_forward, .. } = *dimensions;
    let block = 4 * width + 2 * heads * head_width + 2 * key_heads * head_width + 3 * feed_forward;
    (layers * block + 3 * width + 2 * vocabulary) as u64
}

/// Builds the model of shapes alone.
fn count(config: &Value) -> Result<Counted, ModelError> {
    let mut counted = Counted::default();
    Model::build(config, &mut counted, Precision::F32, &device())?;
    Ok(counted)
}
