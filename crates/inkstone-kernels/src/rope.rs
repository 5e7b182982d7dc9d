//! Rotary position embedding (arXiv:2104.09864, equation 34), half-split as in LLaMA's weights.

use rayon::prelude::*;

use crate::expect_len;
use crate::number::Number;
use crate::profile::{Work, span};
use crate::simd::simd_fn;

/// Shape of what is rotated: `[batch, length, heads, head_dim]`, at the beginning of each position's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RopeShape {
    /// Rows.
    pub batch: usize,
    /// Positions of a row.
    pub length: usize,
    /// Heads.
    pub heads: usize,
    /// Width of a head, even.
    pub head_dim: usize,
    /// Elements from one position to the next.
    pub row: usize,
}

/// Rotates each pair `(x[i], x[i + head_dim/2])` of every head by the angle of its position, given
/// `cos` and `sin` as `[length, head_dim/2]`; `inverse` rotates back (the gradient).
///
/// # Panics
/// If a slice does not have the length that `shape` says, or `head_dim` is odd.
pub fn rope<N: Number>(x: &mut [N], cos: &[f32], sin: &[f32], shape: RopeShape, inverse: bool) {
    let RopeShape { batch, length, heads, head_dim, row } = shape;
    let half = head_dim / 2;
    assert!(head_dim == 2 * half, "head_dim is {head_dim}, expected an even number");
    assert!(row >= heads * head_dim, "{heads} heads of {head_dim} in rows of {row}");
    expect_len("x", x.len(), batch * length * row);
    expect_len("cos", cos.len(), length * half);
    expect_len("sin", sin.len(), length * half);
    if half == 0 || x.is_empty() {
        return;
    }
    let _span = span("rope", || Work::moving(2 * size_of_val(x)));
    let sign = if inverse { -1.0 } else { 1.0 };
    x.par_chunks_mut(row).enumerate().with_min_len(32).for_each(|(position, x)| {
        let at = position % length * half;
        let (cos, sin) = (&cos[at..at + half], &sin[at..at + half]);
        rotate(&mut x[..heads * head_dim], cos, sin, sign);
    });
}

simd_fn! {
    /// All heads of one position.
    fn rotate<'a, N: Number>(heads: &'a mut [N], cos: &'a [f32], sin: &'a [f32], sign: f32) {
        for head in heads.chunks_exact_mut(2 * cos.len()) {
            let (first, second) = head.split_at_mut(cos.len());
            for (((a, b), &c), &s) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                let s = s * sign;
                let (x, y) = (a.to_f32(), b.to_f32());
                (*a, *b) = (N::from_f32(x * c - y * s), N::from_f32(y * c + x * s));
            }
        }
    }
}
