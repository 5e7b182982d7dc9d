//! Intrinsic dimension (arXiv:1804.08838; of language models: 2012.13255): each weight moves in a space of few directions, which
//! are drawn and stay as they are; how far it moves along each is learnt.
//!
//! Departure: a projection has directions of its own, of rank one each, where the papers draw dense ones through all weights at
//! once; so the dimension that is set is that of a projection.

use inkstone_formats::peft::AdapterConfig;
use inkstone_models::{Drawn, Init, ModelError, Wanted, WantedLayer, Weights};
use inkstone_nn::{Change, Directions, LowRankWeights, ProjectionWeights};
use serde::{Deserialize, Serialize};

use super::adapter::{Adapter, Values};
use super::lora::{add, all, check_targets, config, modules};

/// `peft_type`. The PEFT library has no such adapters: these folders are our own.
pub(super) const TYPE: &str = "INTRINSIC";

/// The fields of `peft = { method = "intrinsic", … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Directions of each projection. Default 16.
    #[serde(default = "sixteen")]
    pub dimensions: usize,
    /// What the directions are drawn from; kept with the adapter. Default 0.
    #[serde(default)]
    pub seed: u64,
    /// The projections, by their names or ends of names. Default: all but the head.
    #[serde(default = "all")]
    pub targets: Vec<String>,
}

fn sixteen() -> usize {
    16
}

/// Most directions of a projection.
const MOST: usize = 1 << 14;

impl Table {
    pub(super) fn validate(&self) -> Result<(), String> {
        if self.dimensions == 0 || self.dimensions > MOST {
            return Err(format!("`peft.dimensions` is {}, expected 1 to {MOST}", self.dimensions));
        }
        check_targets(&self.targets)
    }

    pub(super) fn config(&self) -> AdapterConfig {
        AdapterConfig { r: Some(self.dimensions), seed: Some(self.seed), ..config(TYPE, modules(&self.targets)) }
    }
}

/// The directions through the weight of the projection `wanted`.
pub(super) fn change(adapter: &Adapter, wanted: &WantedLayer<'_>) -> Result<Change, ModelError> {
    let lengths = lengths(adapter, wanted)?.unwrap_or_else(|| vec![0.0; dimensions(adapter)]);
    let directions = directions(adapter, wanted)?;
    Ok(Change::Directions(Directions::new(lengths, directions, [wanted.outputs, wanted.inputs], wanted.device)))
}

/// Adds `factor` times the change to the weight.
pub(super) fn merge(
    adapter: &Adapter,
    wanted: &WantedLayer<'_>,
    weights: &mut ProjectionWeights,
    factor: f64,
) -> Result<(), ModelError> {
    let Some(lengths) = lengths(adapter, wanted)? else { return Ok(()) };
    let (a, mut b) = directions(adapter, wanted)?;
    let rank = lengths.len();
    b.iter_mut().enumerate().for_each(|(at, b)| *b *= lengths[at % rank]);
    add(&LowRankWeights { a, b, magnitude: None, rank, scaling: 1.0 }, wanted, weights, factor);
    Ok(())
}

fn dimensions(adapter: &Adapter) -> usize {
    adapter.config().r.unwrap_or_else(sixteen)
}

fn lengths(adapter: &Adapter, wanted: &WantedLayer<'_>) -> Result<Option<Values>, ModelError> {
    adapter.tensor(&format!("{}.intrinsic_z", wanted.name), &[dimensions(adapter)])
}

/// `[r, i]` and `[o, r]`: functions of the adapter's seed and the projection's name.
fn directions(adapter: &Adapter, wanted: &WantedLayer<'_>) -> Result<(Values, Values), ModelError> {
    let rank = dimensions(adapter);
    let mut drawn = Drawn { seed: adapter.config().seed.unwrap_or(0) };
    let mut draw = |side: &str, shape: [usize; 2], deviation: f64| {
        let name = format!("{}.intrinsic_{side}", wanted.name);
        drawn.tensor(&Wanted { name: &name, shape: &shape, init: Init::Normal(deviation), product: true })
    };
    let a = draw("a", [rank, wanted.inputs], 1.0 / (wanted.inputs as f64).sqrt())?;
    Ok((a, draw("b", [wanted.outputs, rank], 1.0 / (rank as f64).sqrt())?))
}
