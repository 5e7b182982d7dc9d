//! Weights in few bits below an adapter (`QLoRA`, arXiv:2305.14314).

use inkstone_models::{Layout, ModelError, WantedLayer, Weights};
use inkstone_nn::{FrozenFormat, FrozenWeight, Projection, ProjectionWeights};
use serde::{Deserialize, Serialize};

/// In what frozen weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FrozenBase {
    /// 4 bits: quantiles of the normal distribution, doubly quantised (arXiv:2305.14314, section 3).
    Nf4,
    /// 8 bits, with a scale for each output (arXiv:2208.07339, section 2.1).
    Int8,
}

impl FrozenBase {
    pub(super) fn format(self) -> FrozenFormat {
        match self {
            Self::Nf4 => FrozenFormat::Nf4,
            Self::Int8 => FrozenFormat::Int8,
        }
    }
}

/// The projection `wanted` of what `inner` has, kept in `format`; as it is where `inner` has shapes alone.
pub(super) fn frozen(
    inner: &mut dyn Weights,
    wanted: &WantedLayer<'_>,
    format: FrozenFormat,
) -> Result<Projection, ModelError> {
    let mut weights = wanted.read(inner)?;
    if weights.weight.is_empty() {
        return Ok(wanted.make(weights));
    }
    weights.weight = turned(weights.weight, wanted.layout, [wanted.inputs, wanted.outputs]);
    Ok(Projection::frozen(weights, format, wanted.precision, wanted.device))
}

/// Brings `weights`, those of the projection `wanted`, to the nearest numbers that `format` has.
pub(super) fn round(weights: &mut ProjectionWeights, wanted: &WantedLayer<'_>, format: FrozenFormat) {
    if weights.weight.is_empty() {
        return;
    }
    let shape = [wanted.outputs, wanted.inputs];
    let mut values = turned(std::mem::take(&mut weights.weight), wanted.layout, [wanted.inputs, wanted.outputs]);
    FrozenWeight::new(&values, shape, format).dequantise(&mut values);
    weights.weight = turned(values, wanted.layout, shape);
}

/// `values[from, to]` the other way round, where the layout has inputs first.
fn turned(values: Vec<f32>, layout: Layout, [from, to]: [usize; 2]) -> Vec<f32> {
    match layout {
        Layout::Dense => values,
        Layout::Conv1d => (0..to * from).map(|at| values[at % from * to + at / from]).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use inkstone_models::Model;
    use inkstone_nn::{Precision, device, training_device};

    use super::FrozenBase;
    use crate::peft::{Adapter, PeftTable};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
    }

    fn gradients(model: &Model) -> Vec<f32> {
        let ids: Vec<u32> = (0..12).collect();
        let labels: Vec<i32> = (1..13).collect();
        let mut gradients = model.loss(&ids, &labels, 2, None).mean.backward();
        let mut all = Vec::new();
        model.visit_gradients(&mut gradients, &mut |_, gradient| all.extend_from_slice(gradient.values()));
        all
    }

    fn largest(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    }

    /// What a new adapter over few bits is saved as is the model in few bits; around that, whole, an adapter has the same gradients.
    #[test]
    fn gradients_pass_through_few_bits_and_what_is_saved_is_what_was_trained() -> Result<(), Box<dyn std::error::Error>>
    {
        for (base, adapter) in [("llama_tiny_tied", "peft/llama_tiny_tied_lora"), ("gpt2_tiny", "peft/gpt2_tiny_lora")]
        {
            let (base, adapter) = (fixture(base), Adapter::open(&fixture(adapter))?);
            for (name, bits) in [("nf4", FrozenBase::Nf4), ("int8", FrozenBase::Int8)] {
                let table: PeftTable =
                    serde_json::from_value(serde_json::json!({"method": "lora", "rank": 2, "base": name}))?;
                let (tuning, out) = (table.tuning(), tempfile::tempdir()?);
                let new = tuning.load(&base, (Precision::F32, &device()), 3)?;
                tuning.save(&new, &base, out.path())?;
                let over = adapter.clone().over(Some(bits)).wrap(&base, (Precision::F32, &training_device()), 0)?;
                let whole = adapter.wrap(out.path(), (Precision::F32, &training_device()), 0)?;
                let plain = adapter.wrap(&base, (Precision::F32, &training_device()), 0)?;
                let (over, whole, plain) = (gradients(&over), gradients(&whole), gradients(&plain));
                assert!(largest(&over, &whole) <= 1e-6, "{name}: off by {:e}", largest(&over, &whole));
                assert!(largest(&over, &plain) > 1e-5, "{name}: few bits change nothing");
            }
        }
        Ok(())
    }
}
