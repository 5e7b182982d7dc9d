//! The last product of a language model and its cross-entropy together, a few rows at a time: the logits of all rows, the largest
//! matrix of a training step, are never there at once.

use rayon::prelude::*;

use crate::cross_entropy::{expect_labels, halve, row_loss};
use crate::linear::{LinearShape, Precision};
use crate::number::{Number, store};
use crate::product::{Corner, Extent, Panels, Plan, View, ViewMut, multiply, product};
use crate::profile::{Work, span};
use crate::scratch::Scratch;
use crate::{expect_len, load};

/// Rows whose logits are there at once.
const CHUNK: usize = 512;

/// What the loss is of.
#[derive(Debug, Clone, Copy)]
pub struct LinearCrossEntropy<'a, N> {
    /// Inputs of the product, `[rows, inputs]`.
    pub x: &'a [N],
    /// Its weight, `[outputs, inputs]`.
    pub w: &'a [f32],
    /// The right output of each row; a negative label is none.
    pub labels: &'a [i32],
    /// Sizes.
    pub shape: LinearShape,
    /// Of the operands of products.
    pub precision: Precision,
}

/// Gradients of the sum of the losses times a factor, where they are wanted.
#[derive(Debug)]
pub struct LinearCrossEntropyGrads<'a, N> {
    /// The factor.
    pub scale: f32,
    /// Of the inputs, `[rows, inputs]`.
    pub dx: Option<&'a mut [N]>,
    /// Of the weight, `[outputs, inputs]`.
    pub dw: Option<&'a mut [f32]>,
}

/// `losses[n] = log Σᵥ exp(z[n, v]) − z[n, labels[n]]` with `z = x wᵀ`, 0 where there is no label, and the gradients. Rows without a
/// label cost nothing.
///
/// # Panics
/// If a length does not fit or a label is outside the outputs.
pub fn linear_cross_entropy<N: Number>(
    losses: &mut [f32],
    mut grads: LinearCrossEntropyGrads<'_, N>,
    given: LinearCrossEntropy<'_, N>,
) {
    given.check(losses, &grads);
    let _span = span("head and cross entropy", || given.work(&grads));
    losses.fill(0.0);
    let LinearShape { inputs, outputs, .. } = given.shape;
    let (labelled, others): (Vec<usize>, Vec<usize>) = (0..losses.len()).partition(|&n| given.labels[n] >= 0);
    if let Some(dx) = &mut grads.dx {
        for row in others {
            dx[row * inputs..(row + 1) * inputs].fill(N::default());
        }
    }
    if labelled.is_empty() {
        if let Some(dw) = &mut grads.dw {
            dw.fill(0.0);
        }
        return;
    }
    // SAFETY: the length of the weight was checked.
    let forward = unsafe { given.panels(View::rows(given.w, inputs).transposed(), (inputs, outputs)) };
    let backward =
        // SAFETY: as above.
        grads.dx.is_some().then(|| unsafe { given.panels(View::rows(given.w, inputs), (outputs, inputs)) });
    for (n, rows) in labelled.chunks(CHUNK).enumerate() {
        given.chunk((rows, n > 0), losses, &mut grads, (&forward, backward.as_ref()));
    }
}

impl<N: Number> LinearCrossEntropy<'_, N> {
    #[track_caller]
    fn check(&self, losses: &[f32], grads: &LinearCrossEntropyGrads<'_, N>) {
        let LinearShape { rows, inputs, outputs } = self.shape;
        expect_len("x", self.x.len(), rows * inputs);
        expect_len("w", self.w.len(), outputs * inputs);
        expect_len("labels", self.labels.len(), rows);
        expect_len("losses", losses.len(), rows);
        expect_len("dx", grads.dx.as_ref().map_or(rows * inputs, |dx| dx.len()), rows * inputs);
        expect_len("dw", grads.dw.as_ref().map_or(outputs * inputs, |dw| dw.len()), outputs * inputs);
        expect_labels(self.labels, outputs);
    }

    fn work(&self, grads: &LinearCrossEntropyGrads<'_, N>) -> Work {
        let LinearShape { inputs, outputs, .. } = self.shape;
        let rows = self.labels.iter().filter(|&&label| label >= 0).count();
        let products = 1 + usize::from(grads.dx.is_some()) + usize::from(grads.dw.is_some());
        let bytes = products * (size_of_val(self.x) + size_of_val(self.w));
        Work { flops: (2 * products * rows * inputs * outputs) as f64, precision: self.precision, bytes: bytes as f64 }
    }

    /// # Safety
    /// As for [`Panels::pack`].
    unsafe fn panels(&self, b: View, size: (usize, usize)) -> Panels {
        // SAFETY: the caller's promise.
        unsafe { Panels::pack(b, size, self.precision, true) }
    }

    /// The losses and gradients of a few rows; that of the weight is added to what is there where `more` rows came before.
    fn chunk(
        &self,
        (rows, more): (&[usize], bool),
        losses: &mut [f32],
        grads: &mut LinearCrossEntropyGrads<'_, N>,
        (forward, backward): (&Panels, Option<&Panels>),
    ) {
        let LinearShape { inputs, outputs, .. } = self.shape;
        let plan = Plan { precision: self.precision, accumulate: false, parallel: true };
        let (mut x, mut logits) = (Scratch::take(rows.len() * inputs), Scratch::take(rows.len() * outputs));
        for (x, &row) in x.chunks_exact_mut(inputs.max(1)).zip(rows) {
            load(x, &self.x[row * inputs..(row + 1) * inputs]);
        }
        let extent = Extent { rows: rows.len(), columns: outputs, depth: inputs };
        let corner = |panels| Corner { panels, column: 0, level: 0 };
        // SAFETY: both are as large as the extent says.
        unsafe { multiply(ViewMut::rows(&mut logits, outputs), View::rows(&x, inputs), corner(forward), extent, plan) };
        let found: Vec<f32> = logits
            .par_chunks_exact_mut(outputs)
            .zip(rows)
            .with_max_len(1)
            .map(|(logits, &row)| {
                let loss = row_loss(logits, self.labels[row], grads.scale);
                if self.precision == Precision::Bf16 {
                    halve(logits);
                }
                loss
            })
            .collect();
        let dlogits = match self.precision {
            Precision::F32 => View::rows(&logits, outputs),
            Precision::Bf16 => View::rows(&logits, outputs).halved(),
        };
        rows.iter().zip(found).for_each(|(&row, loss)| losses[row] = loss);
        if let Some(dw) = &mut grads.dw {
            let extent = Extent { rows: outputs, columns: inputs, depth: rows.len() };
            let plan = Plan { accumulate: more, ..plan };
            // SAFETY: as above; the gradient's length was checked.
            unsafe { product(ViewMut::rows(dw, inputs), dlogits.transposed(), View::rows(&x, inputs), extent, plan) };
        }
        if let (Some(dx), Some(backward)) = (&mut grads.dx, backward) {
            let extent = Extent { rows: rows.len(), columns: inputs, depth: outputs };
            // SAFETY: as above.
            unsafe { multiply(ViewMut::rows(&mut x, inputs), dlogits, corner(backward), extent, plan) };
            for (x, &row) in x.chunks_exact(inputs.max(1)).zip(rows) {
                store(&mut dx[row * inputs..(row + 1) * inputs], x);
            }
        }
    }
}
