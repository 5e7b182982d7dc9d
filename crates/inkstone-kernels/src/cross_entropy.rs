//! Softmax cross-entropy over rows of logits.

use rayon::prelude::*;

use crate::exp::exp;
use crate::expect_len;

/// Rows per task.
const ROWS: usize = 8;

/// `losses[n] = log Σᵥ exp(logits[n, v]) − logits[n, labels[n]]`; 0 where the label is negative.
///
/// # Panics
/// If a length does not fit or a label is outside the vocabulary.
pub fn cross_entropy(logits: &[f32], labels: &[i32], losses: &mut [f32], vocab: usize) {
    expect_len("logits", logits.len(), labels.len() * vocab);
    expect_len("losses", losses.len(), labels.len());
    let rows = losses.par_chunks_mut(ROWS).zip(labels.par_chunks(ROWS)).zip(logits.par_chunks(ROWS * vocab.max(1)));
    rows.for_each(|((losses, labels), logits)| {
        pulp::Arch::new().dispatch(|| {
            for ((loss, &label), row) in losses.iter_mut().zip(labels).zip(logits.chunks_exact(vocab)) {
                *loss = if label < 0 { 0.0 } else { log_sum_exp(row) - row[label as usize] };
            }
        });
    });
}

/// `dlogits = scale · (softmax(logits) − onehot(label))`; 0 where the label is negative.
///
/// # Panics
/// If a length does not fit or a label is outside the vocabulary.
pub fn cross_entropy_backward(dlogits: &mut [f32], logits: &[f32], labels: &[i32], scale: f32, vocab: usize) {
    expect_len("logits", logits.len(), labels.len() * vocab);
    expect_len("dlogits", dlogits.len(), logits.len());
    let size = ROWS * vocab.max(1);
    dlogits.par_chunks_mut(size).zip(logits.par_chunks(size)).zip(labels.par_chunks(ROWS)).for_each(
        |((dlogits, logits), labels)| {
            pulp::Arch::new().dispatch(|| {
                for ((drow, row), &label) in dlogits.chunks_exact_mut(vocab).zip(logits.chunks_exact(vocab)).zip(labels)
                {
                    row_gradient(drow, row, label, scale);
                }
            });
        },
    );
}

#[inline(always)]
fn row_gradient(drow: &mut [f32], row: &[f32], label: i32, scale: f32) {
    if label < 0 {
        return drow.fill(0.0);
    }
    let log_sum = log_sum_exp(row);
    drow.iter_mut().zip(row).for_each(|(d, &x)| *d = scale * exp(x - log_sum));
    drow[label as usize] -= scale;
}

#[inline(always)]
fn log_sum_exp(row: &[f32]) -> f32 {
    let top = max(row);
    let mut sums = [0.0f32; 16];
    let blocks = row.chunks_exact(16);
    let tail: f32 = blocks.remainder().iter().map(|&x| exp(x - top)).sum();
    for block in blocks {
        for lane in 0..16 {
            sums[lane] += exp(block[lane] - top);
        }
    }
    top + (sums.iter().sum::<f32>() + tail).ln()
}

#[inline(always)]
pub(crate) fn max(row: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; 16];
    let blocks = row.chunks_exact(16);
    let tail = blocks.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
    for block in blocks {
        for lane in 0..16 {
            tops[lane] = larger(tops[lane], block[lane]);
        }
    }
    tops.into_iter().fold(tail, larger)
}

/// The larger one; not a number where `b` is none, so that a broken logit is seen in the loss.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}
