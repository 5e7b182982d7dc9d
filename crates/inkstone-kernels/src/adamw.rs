//! AdamW in one pass.

use rayon::prelude::*;

use crate::elementwise::CHUNK;
use crate::expect_len;
use crate::profile::{Work, span};
use crate::simd::simd_fn;

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
    let _span = span("adamw", || Work::moving(7 * size_of_val(weight)));
    let step = Step::of(hyper);
    let moments = moment1.par_chunks_mut(CHUNK).zip(moment2.par_chunks_mut(CHUNK));
    weight.par_chunks_mut(CHUNK).zip(moments).zip(gradient.par_chunks(CHUNK)).for_each(
        |((weight, (first, second)), gradient)| {
            update(weight, (first, second), gradient, &step);
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

simd_fn! {
    fn update<'a>(weight: &'a mut [f32], moments: (&'a mut [f32], &'a mut [f32]), gradient: &'a [f32], step: &'a Step) {
        let AdamW { beta1, beta2, epsilon, gradient_scale, .. } = step.hyper;
        let values = weight.iter_mut().zip(moments.0).zip(moments.1).zip(gradient);
        for (((weight, first), second), gradient) in values {
            let g = gradient * gradient_scale;
            *first = beta1 * *first + (1.0 - beta1) * g;
            *second = beta2 * *second + (1.0 - beta2) * g * g;
            let denominator = second.sqrt() / step.root_correction + epsilon;
            *weight = *weight * step.keep - step.size * *first / denominator;
        }
    }
}
