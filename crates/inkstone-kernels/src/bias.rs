//! A row added to every row.

use rayon::prelude::*;

use crate::elementwise::add_to;
use crate::profile::{Work, span};

/// Rows per task.
const ROWS: usize = 64;

/// `y[n, :] += bias`.
///
/// # Panics
/// If `y` is not whole rows of `bias.len()`.
pub fn add_bias(y: &mut [f32], bias: &[f32]) {
    let width = bias.len().max(1);
    assert!(y.len().is_multiple_of(width), "y has {} elements, expected rows of {width}", y.len());
    let _span = span("bias", || Work::moving(2 * size_of_val(y)));
    y.par_chunks_mut(ROWS * width).for_each(|y| {
        for y in y.chunks_exact_mut(width) {
            add_to(y, bias);
        }
    });
}

/// `dbias = Σₙ dy[n, :]`, over blocks of rows in order.
///
/// # Panics
/// If `dy` is not whole rows of `dbias.len()`.
pub fn add_bias_backward(dbias: &mut [f32], dy: &[f32]) {
    let width = dbias.len().max(1);
    assert!(dy.len().is_multiple_of(width), "dy has {} elements, expected rows of {width}", dy.len());
    let _span = span("bias, gradient", || Work::moving(size_of_val(dy)));
    let partial: Vec<Vec<f32>> = dy
        .par_chunks(ROWS * width)
        .map(|dy| {
            let mut sum = vec![0.0; width];
            for dy in dy.chunks_exact(width) {
                add_to(&mut sum, dy);
            }
            sum
        })
        .collect();
    dbias.fill(0.0);
    for sum in partial {
        add_to(dbias, &sum);
    }
}
