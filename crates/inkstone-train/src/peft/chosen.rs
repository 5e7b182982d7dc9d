//! Tuning some of a model's own weights: its biases (`BitFit`), its norms, some of its blocks.

use inkstone_models::Model;

use super::adapter::AdapterError;
use crate::TrainError;

/// Which weights.
#[derive(Debug, Clone)]
pub(crate) enum Chosen {
    /// Biases of whatever.
    Biases,
    /// Weights and biases of norms.
    Norms,
    /// All of some blocks.
    Blocks(Vec<usize>),
}

impl Chosen {
    /// Freezes the other weights.
    pub(crate) fn choose(&self, model: Model) -> Result<Model, TrainError> {
        let model = model.train_only(&|name| self.accepts(name));
        let mut count = 0;
        model.visit_trainable(&mut |_, _, _| count += 1);
        if count == 0 {
            return Err(AdapterError::NothingToTrain { what: self.words() }.into());
        }
        Ok(model)
    }

    fn accepts(&self, name: &str) -> bool {
        match self {
            Self::Biases => name.rsplit('.').next() == Some("bias"),
            Self::Norms => name.split('.').any(is_norm),
            Self::Blocks(blocks) => block_of(name).is_some_and(|block| blocks.contains(&block)),
        }
    }

    fn words(&self) -> String {
        match self {
            Self::Biases => "biases".into(),
            Self::Norms => "norms".into(),
            Self::Blocks(blocks) => format!("blocks {blocks:?}"),
        }
    }
}

/// `input_layernorm`, `LayerNorm`, `norm`, `ln_1`, `layer_norm`, ….
fn is_norm(part: &str) -> bool {
    let part = part.to_lowercase();
    part.contains("norm") || part == "ln_f" || part.starts_with("ln_")
}

/// The first number in a name.
fn block_of(name: &str) -> Option<usize> {
    name.split('.').find_map(|part| part.parse().ok())
}
