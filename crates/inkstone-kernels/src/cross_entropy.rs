//! Softmax cross-entropy over rows of logits.

use rayon::prelude::*;

use crate::expect_len;
use crate::reduce::{exp_into, exp_sum, max};
use crate::simd::simd_fn;

/// Rows per task.
const ROWS: usize = 8;

/// `losses[n] = log Σᵥ exp(logits[n, v]) − logits[n, labels[n]]`; 0 where the label is negative.
///
/// # Panics
/// If a length does not fit or a label is outside the vocabulary.
pub fn cross_entropy(logits: &[f32], labels: &[i32], losses: &mut [f32], vocab: usize) {
    expect_len("logits", logits.len(), labels.len() * vocab);
    expect_len("losses", losses.len(), labels.len());
    expect_labels(labels, vocab);
    if vocab == 0 {
        return losses.fill(0.0);
    }
    let rows = losses.par_chunks_mut(ROWS).zip(labels.par_chunks(ROWS)).zip(logits.par_chunks(ROWS * vocab));
    rows.for_each(|((losses, labels), logits)| {
        for ((loss, &label), row) in losses.iter_mut().zip(labels).zip(logits.chunks_exact(vocab)) {
            *loss = if label < 0 { 0.0 } else { log_sum_exp(row) - row[label as usize] };
        }
    });
}

/// `dlogits = scale · (softmax(logits) − onehot(label))`; 0 where the label is negative.
///
/// # Panics
/// If a length does not fit or a label is outside the vocabulary.
pub fn cross_entropy_backward(dlogits: &mut [f32], logits: &[f32], labels: &[i32], scale: f32, vocab: usize) {
    expect_len("logits", logits.len(), labels.len() * vocab);
    expect_len("dlogits", dlogits.len(), logits.len());
    expect_labels(labels, vocab);
    let size = ROWS * vocab.max(1);
    dlogits.par_chunks_mut(size).zip(logits.par_chunks(size)).zip(labels.par_chunks(ROWS)).for_each(
        |((dlogits, logits), labels)| {
            for ((drow, row), &label) in dlogits.chunks_exact_mut(vocab).zip(logits.chunks_exact(vocab)).zip(labels) {
                row_gradient(drow, row, label, scale);
            }
        },
    );
}

#[track_caller]
fn expect_labels(labels: &[i32], vocab: usize) {
    let outside = labels.iter().position(|&label| usize::try_from(label).is_ok_and(|label| label >= vocab));
    if let Some(n) = outside {
        panic!("label {} of row {n} is outside the vocabulary of {vocab}", labels[n]);
    }
}

simd_fn! {
    fn row_gradient<'a>(drow: &'a mut [f32], row: &'a [f32], label: i32, scale: f32) {
        if label < 0 {
            return drow.fill(0.0);
        }
        let factor = scale / exp_into(drow, row, max(row));
        for d in drow.iter_mut() {
            *d *= factor;
        }
        drow[label as usize] -= scale;
    }
}

simd_fn! {
    fn log_sum_exp<'a>(row: &'a [f32]) -> f32 {
        let top = max(row);
        top + exp_sum(row, top).ln()
    }
}
