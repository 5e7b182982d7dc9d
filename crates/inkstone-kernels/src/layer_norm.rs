//! Layer normalisation (arXiv:1607.06450, section 3).

use rayon::prelude::*;

use crate::expect_len;
use crate::number::{Number, load};
use crate::profile::{Work, span};
use crate::reduce::{dot, sum};
use crate::simd::simd_fn;

/// Rows per task.
const ROWS: usize = 64;

/// `y[n, :] = (x[n, :] − mean) / √(variance + eps) · weight + bias`, over each row of `weight.len()`.
///
/// # Panics
/// If a slice is not whole rows of `weight.len()`.
pub fn layer_norm<N: Number>(y: &mut [N], x: &[f32], (weight, bias): (&[f32], &[f32]), eps: f32) {
    expect_len("y", y.len(), x.len());
    expect_rows(x, weight, bias);
    let width = weight.len();
    let size = ROWS * width.max(1);
    let _span = span("layer norm", || Work::moving(size_of_val(y) + size_of_val(x)));
    y.par_chunks_mut(size).zip(x.par_chunks(size)).for_each(|(y, x)| {
        let mut line = vec![0.0; width];
        for (y, x) in y.chunks_exact_mut(width).zip(x.chunks_exact(width)) {
            row_forward((y, &mut line), x, (weight, bias), eps);
        }
    });
}

/// What [`layer_norm_backward`] fills.
#[derive(Debug)]
pub struct LayerNormGrads<'a> {
    /// `[rows, width]`.
    pub dx: &'a mut [f32],
    /// `[width]`.
    pub dweight: &'a mut [f32],
    /// `[width]`.
    pub dbias: &'a mut [f32],
}

/// Gradients of [`layer_norm`]. With `x̂` the normalised row and `g = w·dy`,
/// `dx = (g − mean(g) − x̂ · mean(g·x̂)) / √(variance + eps)`, `dweight = Σₙ dy · x̂`, `dbias = Σₙ dy`, the sums over
/// blocks of rows in order.
///
/// # Panics
/// If a slice is not whole rows of `weight.len()`.
pub fn layer_norm_backward<N: Number, M: Number>(
    grads: LayerNormGrads<'_>,
    dy: &[N],
    x: &[M],
    weight: &[f32],
    eps: f32,
) {
    let LayerNormGrads { dx, dweight, dbias } = grads;
    expect_len("dx", dx.len(), x.len());
    expect_len("dy", dy.len(), x.len());
    expect_len("dweight", dweight.len(), weight.len());
    expect_rows(x, weight, dbias);
    let width = weight.len();
    let size = ROWS * width.max(1);
    let _span = span("layer norm, gradient", || Work::moving(size_of_val(dx) + size_of_val(dy) + size_of_val(x)));
    let blocks = dx.par_chunks_mut(size).zip(dy.par_chunks(size)).zip(x.par_chunks(size));
    let partial: Vec<[Vec<f32>; 2]> = blocks
        .map(|((dx, dy), x)| {
            let [mut to_weight, mut to_bias, mut dy_line, mut x_line] = [(); 4].map(|()| vec![0.0; width]);
            let rows = dx.chunks_exact_mut(width).zip(dy.chunks_exact(width)).zip(x.chunks_exact(width));
            for ((dx, dy), x) in rows {
                load(&mut dy_line, dy);
                load(&mut x_line, x);
                row_backward((dx, &mut to_weight, &mut to_bias), (&dy_line, &x_line, weight), eps);
            }
            [to_weight, to_bias]
        })
        .collect();
    for (n, total) in [dweight, dbias].into_iter().enumerate() {
        total.fill(0.0);
        for block in &partial {
            total.iter_mut().zip(&block[n]).for_each(|(total, x)| *total += x);
        }
    }
}

simd_fn! {
    /// One row, by way of a line of its size.
    fn row_forward<'a, N: Number>(to: (&'a mut [N], &'a mut [f32]), x: &'a [f32], affine: (&'a [f32], &'a [f32]), eps: f32) {
        let ((y, line), (weight, bias)) = (to, affine);
        let scale = centre(line, x, eps);
        for (((y, centred), w), b) in y.iter_mut().zip(line).zip(weight).zip(bias) {
            *y = N::from_f32(*centred * scale * w + b);
        }
    }
}

simd_fn! {
    /// One row's `(dx, dweight, dbias)` given `(dy, x, weight)`.
    fn row_backward<'a>(
        grads: (&'a mut [f32], &'a mut [f32], &'a mut [f32]),
        given: (&'a [f32], &'a [f32], &'a [f32]),
        eps: f32,
    ) {
        let ((dx, dweight, dbias), (dy, x, weight)) = (grads, given);
        let scale = centre(dx, x, eps);
        for ((sum, dy), centred) in dweight.iter_mut().zip(dy).zip(&*dx) {
            *sum += dy * centred * scale;
        }
        for (sum, dy) in dbias.iter_mut().zip(dy) {
            *sum += dy;
        }
        let n = x.len() as f32;
        let mean = dot(dy, weight) / n;
        let (mut with_x, mut block) = (0.0, [0.0f32; 64]);
        for ((dy, w), centred) in dy.chunks(64).zip(weight.chunks(64)).zip(dx.chunks(64)) {
            for ((g, dy), w) in block.iter_mut().zip(dy).zip(w) {
                *g = dy * w;
            }
            with_x += dot(&block[..dy.len()], centred);
        }
        let along = with_x * scale * scale / n;
        for ((dx, dy), w) in dx.iter_mut().zip(dy).zip(weight) {
            *dx = (dy * w - mean - *dx * along) * scale;
        }
    }
}

/// `out = x − mean(x)`; returns `1/√(variance + eps)`.
#[inline(always)]
fn centre(out: &mut [f32], x: &[f32], eps: f32) -> f32 {
    let n = x.len() as f32;
    let mean = sum(x) / n;
    for (out, x) in out.iter_mut().zip(x) {
        *out = x - mean;
    }
    1.0 / (dot(out, out) / n + eps).sqrt()
}

#[track_caller]
fn expect_rows<N>(x: &[N], weight: &[f32], bias: &[f32]) {
    expect_len("bias", bias.len(), weight.len());
    let width = weight.len();
    assert!(width > 0 || x.is_empty(), "the weight has no elements, but x has {}", x.len());
    assert!(width == 0 || x.len().is_multiple_of(width), "x has {} elements, expected rows of {width}", x.len());
}
