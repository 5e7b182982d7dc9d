//! Loss on the validation split.

use inkstone_models::Model;

use crate::TrainError;
use crate::objective::{Batches, Objective};

/// A mean loss with what it was taken over.
#[derive(Debug, Clone, Copy)]
pub struct ValidationLoss {
    /// Nats per labelled token.
    pub mean: f64,
    /// Labelled tokens.
    pub tokens: u64,
}

/// The mean loss over the first `batches` batches of the first epoch, or over all of it.
/// The loader's order is fixed, so the same batches are used each time.
pub fn validation_loss<D: Batches>(
    model: &Model,
    objective: &dyn Objective<D::Batch>,
    loader: &mut D,
    batches: Option<u64>,
) -> Result<ValidationLoss, TrainError> {
    let model = model.valid();
    let all = loader.batches_per_pass();
    let mut sum = 0.0;
    let mut tokens = 0;
    for index in 0..batches.unwrap_or(all).min(all) {
        let loss = objective.loss(&model, &loader.pass_batch(index))?;
        sum += loss.losses.iter().map(|&x| f64::from(x)).sum::<f64>();
        tokens += loss.counted as u64;
    }
    Ok(ValidationLoss { mean: sum / tokens.max(1) as f64, tokens })
}
