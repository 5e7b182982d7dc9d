//! Prefix tuning (arXiv:2101.00190): keys and values that stand before those of every document, in every block, are learnt, and nothing
//! else.
//!
//! Departures: they are learnt as they are, without the network of section 4.3 that makes them in the beginning (`prefix_projection`);
//! the first ones are drawn like the model's weights, where the PEFT library draws them with deviation 1.

use inkstone_formats::peft::AdapterConfig;
use inkstone_models::{Drawn, Init, Kind, Model, Wanted, Weights};
use inkstone_nn::Device;

use super::adapter::{Adapter, AdapterError};
use super::prompt::{self, TENSOR};
use crate::TrainError;

/// `peft_type`.
pub(super) const TYPE: &str = "PREFIX_TUNING";

/// Standard deviation of the first keys and values.
const DEVIATION: f64 = 0.02;

/// The config of a new adapter.
pub(super) fn config(table: &prompt::Table) -> AdapterConfig {
    AdapterConfig { peft_type: TYPE.into(), prefix_projection: Some(false), ..table.config() }
}

/// `model` with the keys and values of `adapter`, where that has any: read and scaled by `factor`, or drawn where it is new.
pub(super) fn around(
    model: Model,
    adapter: &Adapter,
    (seed, factor): (u64, f64),
    device: &Device,
) -> Result<Model, TrainError> {
    if adapter.config().peft_type != TYPE {
        return Ok(model);
    }
    if model.kind() == Kind::EncoderDecoder {
        return Err(AdapterError::NoPrefix.into());
    }
    let (tokens, sizes) = (adapter.virtual_tokens(), model.dimensions());
    let shape = [tokens, sizes.layers * 2 * sizes.key_heads * sizes.head_width];
    let values = if let Some(read) = adapter.tensor(TENSOR, &shape)? {
        read.into_iter().map(|x| x * factor as f32).collect()
    } else {
        let drawn = Wanted { name: TENSOR, shape: &shape, init: Init::Normal(DEVIATION), product: false };
        Drawn { seed }.tensor(&drawn)?
    };
    Ok(model.with_prefix(values, tokens, device))
}
