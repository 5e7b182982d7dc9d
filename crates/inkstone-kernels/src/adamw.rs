//! AdamW in one pass.

use rayon::prelude::*;

use crate::elementwise::CHUNK;
use crate::expect_len;

/// Settings of one step of AdamW (arXiv:1711.05101, algorithm 2, with the schedule folded into the rate).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub learning_rate: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Steps taken, this one included (from 1).
    pub step: u64,
    /// Factor on the gradient (clipping, averaging).
    pub gradient_scale: f32,
}

/// Moves `weight` by one step, as `torch.optim.AdamW` does.
///
/// # Panics
/// If the slices differ in length.
pub fn adamw(weight: &mut [f32], moment1: &mut [f32], moment2: &mut [f32], gradient: &[f32], hyper: &AdamW) {
    for (name, length) in [("moment1", moment1.len()), ("moment2", moment2.len()), ("gradient", gradient.len())] {
        expect_len(name, length, weight.len());
    }
    let step = Step::of(hyper);
    let moments = moment1.par_chunks_mut(CHUNK).zip(moment2.par_chunks_mut(CHUNK));
    weight.par_chunks_mut(CHUNK).zip(moments).zip(gradient.par_chunks(CHUNK)).for_each(
        |((weight, (first, second)), gradient)| {
            pulp::Arch::new().dispatch(|| update(weight, first, second, gradient, &step));
        },
    );
}

/// What all elements share.
struct Step {
    hyper: AdamW,
    keep: f32,
    size: f32,
    root_correction: f32,
}

impl Step {
    fn of(hyper: &AdamW) -> Self {
        let correction = |beta: f32| 1.0 - f64::from(beta).powi(i32::try_from(hyper.step).unwrap_or(i32::MAX));
        Self {
            hyper: *hyper,
            keep: 1.0 - hyper.learning_rate * hyper.weight_decay,
            size: (f64::from(hyper.learning_rate) / correction(hyper.beta1)) as f32,
            root_correction: correction(hyper.beta2).sqrt() as f32,
        }
    }
}

#[inline(always)]
fn update(weight: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32], step: &Step) {
    let AdamW { beta1, beta2, epsilon, gradient_scale, .. } = step.hyper;
    let n = weight.len();
    let (first, second, gradient) = (&mut first[..n], &mut second[..n], &gradient[..n]);
    for i in 0..n {
        let g = gradient[i] * gradient_scale;
        first[i] = beta1 * first[i] + (1.0 - beta1) * g;
        second[i] = beta2 * second[i] + (1.0 - beta2) * g * g;
        let denominator = second[i].sqrt() / step.root_correction + epsilon;
        weight[i] = weight[i] * step.keep - step.size * first[i] / denominator;
    }
}
