//! RMSNorm (arXiv:1910.07467, equation 4).

use rayon::prelude::*;

use crate::expect_len;
use crate::number::{Number, load};
use crate::profile::{Work, span};
use crate::reduce::dot;
use crate::simd::simd_fn;

/// Rows per task.
const ROWS: usize = 64;

/// `y[n, :] = x[n, :] / rms(x[n, :]) · weight`, with `rms² = mean(x²) + eps`.
///
/// # Panics
/// If a slice is not whole rows of `weight.len()`.
pub fn rms_norm<N: Number>(y: &mut [N], x: &[f32], weight: &[f32], eps: f32) {
    expect_len("y", y.len(), x.len());
    let width = weight.len();
    expect_rows(x, width);
    let _span = span("rms norm", || Work::moving(size_of_val(y) + size_of_val(x)));
    y.par_chunks_mut(ROWS * width.max(1)).zip(x.par_chunks(ROWS * width.max(1))).for_each(|(y, x)| {
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            row_forward(y, x, weight, eps);
        }
    });
}

/// Gradients of [`rms_norm`]. With `x̂ = x / rms`, `dx = (w·dy − x̂ · mean(w·dy·x̂)) / rms` and
/// `dweight = Σₙ dy · x̂`, the sum over blocks of rows in order.
///
/// # Panics
/// If a slice is not whole rows of `weight.len()`.
pub fn rms_norm_backward<N: Number, M: Number>(
    dx: &mut [f32],
    dweight: &mut [f32],
    dy: &[N],
    x: &[M],
    weight: &[f32],
    eps: f32,
) {
    expect_len("dx", dx.len(), x.len());
    expect_len("dy", dy.len(), x.len());
    expect_len("dweight", dweight.len(), weight.len());
    let width = weight.len();
    expect_rows(x, width);
    let size = ROWS * width.max(1);
    let _span = span("rms norm, gradient", || Work::moving(size_of_val(dx) + size_of_val(dy) + size_of_val(x)));
    let blocks = dx.par_chunks_mut(size).zip(dy.par_chunks(size)).zip(x.par_chunks(size));
    let partial: Vec<Vec<f32>> = blocks
        .map(|((dx, dy), x)| {
            let (mut sum, mut line) = (vec![0.0; width], vec![0.0; width]);
            let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width));
            for ((dx, dy), x) in rows {
                load(&mut line, x);
                row_backward((dx, &mut sum), (dy, &line, weight), eps);
            }
            sum
        })
        .collect();
    dweight.fill(0.0);
    for sum in partial {
        dweight.iter_mut().zip(&sum).for_each(|(total, x)| *total += x);
    }
}

simd_fn! {
    fn row_forward<'a, N: Number>(y: &'a mut [N], x: &'a [f32], weight: &'a [f32], eps: f32) {
        let scale = inverse_rms(x, eps);
        for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
            *y = N::from_f32(x * scale * w);
        }
    }
}

simd_fn! {
    /// One row's `(dx, dweight)` given `(dy, x, weight)`.
    fn row_backward<'a, N: Number>(grads: (&'a mut [f32], &'a mut [f32]), given: (&'a [N], &'a [f32], &'a [f32]), eps: f32) {
        let ((dx, dweight), (dy, x, weight)) = (grads, given);
        let scale = inverse_rms(x, eps);
        for ((dx, dy), w) in dx.iter_mut().zip(dy).zip(weight) {
            *dx = dy.to_f32() * w;
        }
        let mean = dot(dx, x) * scale / x.len() as f32;
        for ((sum, dy), x) in dweight.iter_mut().zip(dy).zip(x) {
            *sum += dy.to_f32() * x * scale;
        }
        for (dx, x) in dx.iter_mut().zip(x) {
            *dx = (*dx - x * scale * mean) * scale;
        }
    }
}

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (dot(x, x) / x.len() as f32 + eps).sqrt()
}

#[track_caller]
fn expect_rows<N>(x: &[N], width: usize) {
    assert!(width > 0 || x.is_empty(), "the weight has no elements, but x has {}", x.len());
    assert!(width == 0 || x.len().is_multiple_of(width), "x has {} elements, expected rows of {width}", x.len());
}
