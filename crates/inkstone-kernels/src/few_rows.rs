//! Products of a few rows, as in decoding: bound by reading the weights, which are read once.

use rayon::prelude::*;

use crate::bf16::round;
use crate::number::{Number, load};
use crate::reduce::{dot, dot_rounded};
use crate::scratch::Scratch;
use crate::simd::simd_fn;
use crate::{LinearShape, Precision};

/// Rows up to which dot products are at least as fast as blocked products.
pub(crate) const FEW: usize = 4;
/// Weights per task.
const ELEMENTS: usize = 1 << 15;
/// Weights below which a second thread is not worth waking.
const SMALL: usize = 1 << 17;

/// `y[r, o] = Σᵢ x[r, i] · w[o, i]` for at most [`FEW`] rows.
pub(crate) fn few_rows<N: Number, M: Number>(
    y: &mut [N],
    x: &[M],
    w: &[f32],
    shape: LinearShape,
    precision: Precision,
) {
    let LinearShape { rows, inputs, outputs } = shape;
    if rows == 0 || outputs == 0 || inputs == 0 {
        return y.fill(N::default());
    }
    let mut scratch = Scratch::take(x.len() + y.len());
    let (wide, columns) = scratch.split_at_mut(x.len());
    load(wide, x);
    let bf16 = precision == Precision::Bf16;
    if bf16 {
        round(wide);
    }
    let x = &*wide;
    let per_task = if w.len() < SMALL { outputs } else { (ELEMENTS / inputs).max(1) };
    let tasks = columns.par_chunks_mut(per_task * rows).zip(w.par_chunks(per_task * inputs));
    tasks.for_each(|(columns, w)| if bf16 { dots_rounded(columns, x, w, inputs) } else { dots(columns, x, w, inputs) });
    for (r, y) in y.chunks_exact_mut(outputs).enumerate() {
        y.iter_mut().zip(columns[r..].iter().step_by(rows)).for_each(|(y, &value)| *y = N::from_f32(value));
    }
}

simd_fn! {
    /// `columns[o, r] = x[r, :] · w[o, :]`.
    fn dots<'a>(columns: &'a mut [f32], x: &'a [f32], w: &'a [f32], inputs: usize) {
        for (column, w) in columns.chunks_exact_mut(x.len() / inputs).zip(w.chunks_exact(inputs)) {
            for (y, x) in column.iter_mut().zip(x.chunks_exact(inputs)) {
                *y = dot(x, w);
            }
        }
    }
}

simd_fn! {
    /// As [`dots`], with the weights rounded to bfloat16.
    fn dots_rounded<'a>(columns: &'a mut [f32], x: &'a [f32], w: &'a [f32], inputs: usize) {
        for (column, w) in columns.chunks_exact_mut(x.len() / inputs).zip(w.chunks_exact(inputs)) {
            for (y, x) in column.iter_mut().zip(x.chunks_exact(inputs)) {
                *y = dot_rounded(x, w);
            }
        }
    }
}
