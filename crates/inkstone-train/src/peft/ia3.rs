//! `(IA)³` (arXiv:2205.05638): learned factors of keys, values and the feed-forward layer's middle.

use inkstone_formats::peft::{AdapterConfig, Modules};
use inkstone_models::{Layout, ModelError, WantedLayer};
use inkstone_nn::{Change, ProjectionWeights, Scaled};
use serde::{Deserialize, Serialize};

use super::adapter::{Adapter, Values};
use super::lora::config;

/// `peft_type`.
pub(super) const TYPE: &str = "IA3";

/// The fields of `peft = { method = "ia3", … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// The projections that are scaled, by their names or ends of names: keys, values, and the second of the feed-forward.
    pub targets: Vec<String>,
    /// Those of them whose input is scaled, not their output: the second of the feed-forward.
    #[serde(default)]
    pub feedforward: Vec<String>,
}

impl Table {
    pub(super) fn config(&self) -> AdapterConfig {
        AdapterConfig {
            feedforward_modules: Some(Modules::Names(self.feedforward.clone())),
            ..config(TYPE, Modules::Names(self.targets.clone()))
        }
    }
}

/// The factors around the projection `wanted`.
pub(super) fn change(adapter: &Adapter, wanted: &WantedLayer<'_>) -> Result<Change, ModelError> {
    let (input, factors) = factors(adapter, wanted)?;
    let factors = factors.unwrap_or_else(|| vec![1.0; if input { wanted.inputs } else { wanted.outputs }]);
    Ok(Change::Scaled(Scaled::new(factors, input, wanted.device)))
}

/// Scales weight and bias.
pub(super) fn merge(
    adapter: &Adapter,
    wanted: &WantedLayer<'_>,
    weights: &mut ProjectionWeights,
    factor: f64,
) -> Result<(), ModelError> {
    let (input, Some(factors)) = factors(adapter, wanted)? else { return Ok(()) };
    // With a factor, the way from 1 to the learned number is gone in part.
    let scale = |at: usize| (1.0 + factor * (f64::from(factors[at]) - 1.0)) as f32;
    let columns = if wanted.layout == Layout::Dense { wanted.inputs } else { wanted.outputs }.max(1);
    let by_column = input == (wanted.layout == Layout::Dense);
    for (at, weight) in weights.weight.iter_mut().enumerate() {
        *weight *= scale(if by_column { at % columns } else { at / columns });
    }
    if let (false, Some(bias)) = (input, &mut weights.bias) {
        bias.iter_mut().enumerate().for_each(|(at, bias)| *bias *= scale(at));
    }
    Ok(())
}

fn factors(adapter: &Adapter, wanted: &WantedLayer<'_>) -> Result<(bool, Option<Values>), ModelError> {
    let input = adapter
        .config()
        .feedforward_modules
        .as_ref()
        .is_some_and(|modules| super::adapter::accepts(modules, wanted.name));
    let shape = if input { [1, wanted.inputs] } else { [wanted.outputs, 1] };
    Ok((input, adapter.tensor(&format!("{}.ia3_l", wanted.name), &shape)?))
}
