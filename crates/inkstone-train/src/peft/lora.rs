//! `LoRA` (arXiv:2106.09685), `rsLoRA` (arXiv:2312.03732), `DoRA` (arXiv:2402.09353).
//!
//! Departure: the first matrix begins as draws of a normal distribution with the variance of the uniform one of the
//! reference implementation, `1/(3·inputs)`.

use inkstone_formats::peft::{AdapterConfig, Modules};
use inkstone_models::{Drawn, Init, Layout, ModelError, Wanted, WantedLayer, Weights};
use inkstone_nn::{Change, Dropout, LowRank, LowRankWeights, Projection, ProjectionWeights};
use serde::{Deserialize, Serialize};

use super::adapter::Adapter;
use super::frozen::FrozenBase;

/// `peft_type`.
pub(super) const TYPE: &str = "LORA";

/// Largest rank.
const MAX_RANK: usize = 1 << 14;

/// The fields of `peft = { method = "lora", … }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Width of the thin matrices. Default 8.
    #[serde(default = "eight")]
    pub rank: usize,
    /// The change is scaled by `alpha / rank` (`rslora`: by `alpha / √rank`). Default 16.
    #[serde(default = "sixteen")]
    pub alpha: f64,
    /// The projections, by their names or ends of names. Default: all but the head.
    #[serde(default = "all")]
    pub targets: Vec<String>,
    /// The share of its inputs that the change does not see while it is trained. Default 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// What the projections of all blocks are kept in meanwhile: their nearest numbers of 4 or 8 bits (`QLoRA`, arXiv:2305.14314). They
    /// are what the change is merged into. Default: as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<FrozenBase>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(share: &f64) -> bool {
    *share == 0.0
}

fn eight() -> usize {
    8
}

fn sixteen() -> f64 {
    16.0
}

pub(super) fn all() -> Vec<String> {
    vec!["all-linear".into()]
}

/// Which of the three.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    RankStabilised,
    Decomposed,
}

impl Table {
    pub(super) fn of(rank: usize, targets: &[String]) -> Self {
        let targets = if targets.is_empty() { all() } else { targets.to_vec() };
        Self { rank, alpha: sixteen(), targets, dropout: 0.0, base: None }
    }

    pub(super) fn validate(&self) -> Result<(), String> {
        if self.rank == 0 || self.rank > MAX_RANK {
            return Err(format!("`peft.rank` is {}, expected 1 to {MAX_RANK}", self.rank));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(format!("`peft.alpha` is {}, expected more than 0", self.alpha));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(format!("`peft.dropout` is {}, expected 0 or more and less than 1", self.dropout));
        }
        check_targets(&self.targets)
    }

    pub(super) fn config(&self, kind: Kind) -> AdapterConfig {
        AdapterConfig {
            r: Some(self.rank),
            lora_alpha: Some(self.alpha),
            lora_dropout: Some(self.dropout),
            bias: Some("none".into()),
            use_rslora: kind == Kind::RankStabilised,
            use_dora: kind == Kind::Decomposed,
            ..config(TYPE, modules(&self.targets))
        }
    }
}

/// Targets as `adapter_config.json` has them.
pub(super) fn modules(targets: &[String]) -> Modules {
    match targets {
        [one] if one == "all-linear" => Modules::Pattern(one.clone()),
        names => Modules::Names(names.to_vec()),
    }
}

/// A config without the fields of any one method.
pub(super) fn config(peft_type: &str, target_modules: Modules) -> AdapterConfig {
    AdapterConfig {
        peft_type: peft_type.into(),
        task_type: Some("CAUSAL_LM".into()),
        base_model_name_or_path: None,
        inference_mode: true,
        target_modules,
        feedforward_modules: None,
        fan_in_fan_out: false,
        r: None,
        seed: None,
        num_virtual_tokens: None,
        token_dim: None,
        num_layers: None,
        num_attention_heads: None,
        num_transformer_submodules: None,
        prefix_projection: None,
        encoder_hidden_size: None,
        lora_alpha: None,
        lora_dropout: None,
        bias: None,
        use_rslora: false,
        use_dora: false,
    }
}

/// Rank and scaling of a config.
fn strength(config: &AdapterConfig) -> (usize, f64) {
    let rank = config.r.unwrap_or_else(eight);
    let alpha = config.lora_alpha.unwrap_or_else(|| eight() as f64);
    (rank, if config.use_rslora { alpha / (rank as f64).sqrt() } else { alpha / rank as f64 })
}

/// The thin matrices around `base`: read, or drawn where the adapter is new.
pub(super) fn change(
    adapter: &Adapter,
    wanted: &WantedLayer<'_>,
    base: &Projection,
    seed: u64,
) -> Result<Change, ModelError> {
    let weights = if let Some(read) = read(adapter, wanted)? {
        read
    } else {
        let (rank, scaling) = strength(adapter.config());
        let name = format!("{}.lora_A.weight", wanted.name);
        let std = 1.0 / (3.0 * wanted.inputs as f64).sqrt();
        let drawn = Wanted { name: &name, shape: &[rank, wanted.inputs], init: Init::Normal(std), product: true };
        let magnitude = adapter.config().use_dora.then(|| {
            let norms = base.row_norms().into_data_as::<f32>();
            norms.try_to_vec::<f32>().expect("invariant: converted to f32")
        });
        LowRankWeights {
            a: Drawn { seed }.tensor(&drawn)?,
            b: vec![0.0; wanted.outputs * rank],
            magnitude,
            rank,
            scaling,
        }
    };
    let share = adapter.config().lora_dropout.unwrap_or(0.0);
    let dropout = Dropout { share, seed: seed_of(wanted.name, seed) };
    Ok(Change::LowRank(LowRank::new(weights, [wanted.outputs, wanted.inputs], wanted.device).with_dropout(dropout)))
}

/// What the draws of the projection `name` begin with.
fn seed_of(name: &str, seed: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"dropout").update(&seed.to_le_bytes()).update(name.as_bytes());
    u64::from_le_bytes(std::array::from_fn(|at| hasher.finalize().as_bytes()[at]))
}

fn read(adapter: &Adapter, wanted: &WantedLayer<'_>) -> Result<Option<LowRankWeights>, ModelError> {
    let ((rank, scaling), name) = (strength(adapter.config()), wanted.name);
    let a = adapter.tensor(&format!("{name}.lora_A.weight"), &[rank, wanted.inputs])?;
    let b = adapter.tensor(&format!("{name}.lora_B.weight"), &[wanted.outputs, rank])?;
    let magnitude = if adapter.config().use_dora {
        adapter.tensor(&format!("{name}.lora_magnitude_vector"), &[wanted.outputs])?
    } else {
        None
    };
    Ok(a.zip(b).map(|(a, b)| LowRankWeights { a, b, magnitude, rank, scaling }))
}

/// Adds `factor` times the change to the weight.
pub(super) fn merge(
    adapter: &Adapter,
    wanted: &WantedLayer<'_>,
    weights: &mut ProjectionWeights,
    factor: f64,
) -> Result<(), ModelError> {
    if let Some(change) = read(adapter, wanted)? {
        add(&change, wanted, weights, factor);
    }
    Ok(())
}

/// Refuses to change nothing.
pub(super) fn check_targets(targets: &[String]) -> Result<(), String> {
    if targets.is_empty() { Err("`peft.targets` is empty, expected names of projections".into()) } else { Ok(()) }
}

/// Adds `factor` times `change` to the weight.
pub(super) fn add(change: &LowRankWeights, wanted: &WantedLayer<'_>, weights: &mut ProjectionWeights, factor: f64) {
    let (inputs, outputs) = (wanted.inputs, wanted.outputs);
    let place = |o: usize, i: usize| match wanted.layout {
        Layout::Dense => o * inputs + i,
        Layout::Conv1d => i * outputs + o,
    };
    let mut row = vec![0.0_f32; inputs];
    for (o, b) in change.b.chunks_exact(change.rank).enumerate() {
        row.fill(0.0);
        for (&b, a) in b.iter().zip(change.a.chunks_exact(inputs)) {
            row.iter_mut().zip(a).for_each(|(sum, &a)| *sum += b * a);
        }
        let scale = (change.scaling * factor) as f32;
        (0..inputs).for_each(|i| weights.weight[place(o, i)] += scale * row[i]);
        if let Some(magnitude) = &change.magnitude {
            let square = |i: usize| f64::from(weights.weight[place(o, i)]).powi(2);
            let norm = (0..inputs).map(square).sum::<f64>().sqrt();
            // With a factor, the magnitude goes its part of the way, too.
            let target = f64::from(magnitude[o]) * factor + norm * (1.0 - factor);
            (0..inputs).for_each(|i| weights.weight[place(o, i)] *= (target / norm) as f32);
        }
    }
}
