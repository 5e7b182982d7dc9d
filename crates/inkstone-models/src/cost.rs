//! What a model will cost, from its `config.json` alone.

use serde_json::Value;

use crate::{ModelError, llama};

/// Parameters of the model that `config` describes, without building it.
pub fn expected_parameters(config: &Value) -> Result<u64, ModelError> {
    Ok(llama::Config::from_json(config)?.parameters())
}

/// FLOPs of training on one token (forward and backward) with rows of `context` tokens.
pub fn expected_flops_per_token(config: &Value, context: usize) -> Result<f64, ModelError> {
    Ok(llama::Config::from_json(config)?.flops_per_token(context))
}

/// Weight, its gradient as it comes and as it is summed, and two moments.
const BYTES_PER_PARAMETER: u64 = 20;
/// The program, its buffers and the tokenizer.
const FIXED_BYTES: u64 = 144 << 20;

/// Peak resident bytes of training with `batch` rows of `context` tokens: the optimiser's state, what the operations keep for the
/// backward pass, and a fixed share.
pub fn training_bytes(config: &Value, batch: usize, context: usize) -> Result<u64, ModelError> {
    let config = llama::Config::from_json(config)?;
    let activations = (batch * context) as u64 * config.saved_per_token() * 4;
    Ok(config.parameters() * BYTES_PER_PARAMETER + activations + FIXED_BYTES)
}
