//! Adapters in the first sense: small networks behind projections (Houlsby: arXiv:1902.00751, behind attention and feed-forward;
//! Pfeiffer: arXiv:2005.00247, behind the feed-forward alone).
//!
//! They are no matrices, so they stay beside the weights.

use inkstone_formats::peft::{AdapterConfig, Modules};
use inkstone_models::{Drawn, Init, ModelError, Wanted, WantedLayer, Weights};
use inkstone_nn::{Bottleneck, BottleneckWeights, Change};
use serde::{Deserialize, Serialize};

use super::adapter::Adapter;
use super::lora::{check_targets, config};

/// `peft_type`. The PEFT library has no such adapters: these folders are our own.
pub(super) const TYPE: &str = "BOTTLENECK";

/// Standard deviation of the first matrix; the second begins as zeros, so that nothing is changed at first (arXiv:1902.00751,
/// section 3.6).
const DEVIATION: f64 = 0.01;

/// The fields of `peft = { method = "houlsby", … }` and `"pfeiffer"`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Width of the small networks. Default 16.
    #[serde(default = "sixteen")]
    pub width: usize,
    /// The projections behind which they stand, by their names or ends of names: the last of attention (Houlsby alone) and the last
    /// of the feed-forward.
    pub targets: Vec<String>,
}

fn sixteen() -> usize {
    16
}

/// Largest width.
const MAX_WIDTH: usize = 1 << 14;

impl Table {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.width == 0 || self.width > MAX_WIDTH {
            return Err(format!("`peft.width` is {}, expected 1 to {MAX_WIDTH}", self.width));
        }
        check_targets(&self.targets)
    }

    pub(super) fn config(&self) -> AdapterConfig {
        AdapterConfig { r: Some(self.width), ..config(TYPE, Modules::Names(self.targets.clone())) }
    }
}

/// The network behind the projection `wanted`, its result times `factor`: read, or drawn where the adapter is new.
pub(super) fn change(
    adapter: &Adapter,
    wanted: &WantedLayer<'_>,
    seed: u64,
    factor: f64,
) -> Result<Change, ModelError> {
    let (width, outputs) = (adapter.config().r.unwrap_or_else(sixteen), wanted.outputs);
    let tensor = |part: &str, shape: &[usize], init: Init| {
        let name = format!("{}.{part}", wanted.name);
        match adapter.tensor(&name, shape)? {
            Some(read) => Ok(read),
            None => Drawn { seed }.tensor(&Wanted { name: &name, shape, init, product: true }),
        }
    };
    let scaled = |values: Vec<f32>| values.into_iter().map(|x| x * factor as f32).collect();
    let weights = BottleneckWeights {
        down: tensor("adapter_down.weight", &[width, outputs], Init::Normal(DEVIATION))?,
        down_bias: tensor("adapter_down.bias", &[width], Init::Zeros)?,
        up: scaled(tensor("adapter_up.weight", &[outputs, width], Init::Zeros)?),
        up_bias: scaled(tensor("adapter_up.bias", &[outputs], Init::Zeros)?),
    };
    Ok(Change::Bottleneck(Bottleneck::new(weights, outputs, wanted.device)))
}
