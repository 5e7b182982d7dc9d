//! A row added to every row.

use rayon::prelude::*;

use crate::elementwise::add_to;
use crate::number::Number;
use crate::profile::{Work, span};
use crate::simd::simd_fn;

/// Rows per task.
const ROWS: usize = 64;

/// `y[n, :] += bias`.
///
/// # Panics
/// If `y` is not whole rows of `bias.len()`.
pub fn add_bias<N: Number>(y: &mut [N], bias: &[f32]) {
    let width = bias.len().max(1);
    assert!(y.len().is_multiple_of(width), "y has {} elements, expected rows of {width}", y.len());
    let _span = span("bias", || Work::moving(2 * size_of_val(y)));
    y.par_chunks_mut(ROWS * width).for_each(|y| {
        for y in y.chunks_exact_mut(width) {
            add_row(y, bias);
        }
    });
}

/// `dbias = Σₙ dy[n, :]`, over blocks of rows in order.
///
/// # Panics
/// If `dy` is not whole rows of `dbias.len()`.
pub fn add_bias_backward<N: Number>(dbias: &mut [f32], dy: &[N]) {
    let width = dbias.len().max(1);
    assert!(dy.len().is_multiple_of(width), "dy has {} elements, expected rows of {width}", dy.len());
    let _span = span("bias, gradient", || Work::moving(size_of_val(dy)));
    let partial: Vec<Vec<f32>> = dy
        .par_chunks(ROWS * width)
        .map(|dy| {
            let mut sum = vec![0.0; width];
            for dy in dy.chunks_exact(width) {
                add_numbers(&mut sum, dy);
            }
            sum
        })
        .collect();
    dbias.fill(0.0);
    for sum in partial {
        add_to(dbias, &sum);
    }
}

simd_fn! {
    fn add_row<'a, N: Number>(y: &'a mut [N], bias: &'a [f32]) {
        for (y, bias) in y.iter_mut().zip(bias) {
            *y = N::from_f32(y.to_f32() + bias);
        }
    }
}

simd_fn! {
    fn add_numbers<'a, N: Number>(sum: &'a mut [f32], dy: &'a [N]) {
        for (sum, dy) in sum.iter_mut().zip(dy) {
            *sum += dy.to_f32();
        }
    }
}
