//! Softmax cross-entropy over rows of logits.

use rayon::prelude::*;

use crate::expect_len;
use crate::number::Number;
use crate::profile::{Work, span};
use crate::reduce::{exp_in_place, exp_sum, max};
use crate::simd::simd_fn;

/// Rows per task.
const ROWS: usize = 8;
/// Numbers that are turned into bfloat16 at a time.
const HALVED: usize = 64;

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
    let _span = span("cross entropy", || Work::moving(size_of_val(logits)));
    let rows = losses.par_chunks_mut(ROWS).zip(labels.par_chunks(ROWS)).zip(logits.par_chunks(ROWS * vocab));
    rows.for_each(|((losses, labels), logits)| {
        for ((loss, &label), row) in losses.iter_mut().zip(labels).zip(logits.chunks_exact(vocab)) {
            *loss = if label < 0 { 0.0 } else { log_sum_exp(row) - row[label as usize] };
        }
    });
}

/// Turns logits into their gradient, `scale · (softmax(logits) − onehot(label))`; 0 where the label is negative.
///
/// # Panics
/// If a length does not fit or a label is outside the vocabulary.
pub fn cross_entropy_backward(logits: &mut [f32], labels: &[i32], scale: f32, vocab: usize) {
    expect_len("logits", logits.len(), labels.len() * vocab);
    expect_labels(labels, vocab);
    let _span = span("cross entropy, gradient", || Work::moving(2 * size_of_val(logits)));
    let rows = logits.par_chunks_mut(ROWS * vocab.max(1)).zip(labels.par_chunks(ROWS));
    rows.for_each(|(logits, labels)| {
        for (row, &label) in logits.chunks_exact_mut(vocab).zip(labels) {
            row_gradient(row, label, scale);
        }
    });
}

#[track_caller]
pub(crate) fn expect_labels(labels: &[i32], vocab: usize) {
    let outside = labels.iter().position(|&label| usize::try_from(label).is_ok_and(|label| label >= vocab));
    if let Some(n) = outside {
        panic!("label {} of row {n} is outside the vocabulary of {vocab}", labels[n]);
    }
}

simd_fn! {
    fn row_gradient<'a>(row: &'a mut [f32], label: i32, scale: f32) {
        if label < 0 {
            return row.fill(0.0);
        }
        gradient(row, label as usize, scale);
    }
}

simd_fn! {
    /// The loss of a row of logits, which becomes its gradient.
    pub(crate) fn row_loss<'a>(row: &'a mut [f32], label: i32, scale: f32) -> f32 {
        let logit = row[label as usize];
        gradient(row, label as usize, scale) - logit
    }
}

simd_fn! {
    /// Turns a row into bfloat16, which take the first half of its memory.
    pub(crate) fn halve<'a>(row: &'a mut [f32]) {
        let mut first = 0;
        while first < row.len() {
            let numbers = &row[first..row.len().min(first + HALVED)];
            let (mut block, size) = ([0.0; HALVED], numbers.len());
            block[..size].copy_from_slice(numbers);
            for (pair, to) in block.as_chunks::<2>().0.iter().zip(&mut row[first / 2..][..size.div_ceil(2)]) {
                let [low, high] = pair.map(|x| u32::from(x.half_bits()));
                *to = f32::from_bits(if cfg!(target_endian = "little") { low | high << 16 } else { low << 16 | high });
            }
            first += HALVED;
        }
    }
}

/// Logits to their gradient; returns their log-sum-exp.
#[inline(always)]
fn gradient(row: &mut [f32], label: usize, scale: f32) -> f32 {
    let top = max(row);
    let sum = exp_in_place(row, 1.0, top);
    let factor = scale / sum;
    for d in row.iter_mut() {
        *d *= factor;
    }
    row[label] -= scale;
    top + sum.ln()
}

simd_fn! {
    fn log_sum_exp<'a>(row: &'a [f32]) -> f32 {
        let top = max(row);
        top + exp_sum(row, top).ln()
    }
}
