//! Reductions with a fixed number of lanes: one order of additions on every instruction set.

use crate::exp::exp;

const LANES: usize = 32;
/// Elements whose exponentials are kept at a time: the loop that computes them and the one that adds
/// them up are each vectorised, which a loop that does both is not.
const CHUNK: usize = 512;

/// `Σᵢ a[i] · b[i]`.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f32 = a_blocks.remainder().iter().zip(b_blocks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    tree_sum(&std::array::from_fn(|lane| sums[lane])) + tail
}

/// The lanes, pairwise. Kept out of line: seen together with the loop before it, the compiler splits
/// that loop's vectors into pairs.
#[inline(never)]
fn tree_sum(sums: &[f32; LANES]) -> f32 {
    let mut sums = *sums;
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
        width /= 2;
    }
    sums[0]
}

/// `Σ x`.
#[inline(always)]
pub(crate) fn sum(x: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let blocks = x.chunks_exact(LANES);
    let tail: f32 = blocks.remainder().iter().sum();
    for block in blocks {
        for lane in 0..LANES {
            sums[lane] += block[lane];
        }
    }
    tree_sum(&std::array::from_fn(|lane| sums[lane])) + tail
}

/// The largest value; −∞ of nothing. A value that is not a number may be passed over: the
/// exponentials that follow bring it to light.
#[inline(always)]
pub(crate) fn max(row: &[f32]) -> f32 {
    let mut tops = [f32::NEG_INFINITY; LANES];
    let blocks = row.chunks_exact(LANES);
    let tail = blocks.remainder().iter().copied().fold(f32::NEG_INFINITY, larger);
    for block in blocks {
        for lane in 0..LANES {
            tops[lane] = larger(tops[lane], block[lane]);
        }
    }
    tops.into_iter().fold(tail, larger)
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `x = exp(scale · x − top)` in place; returns the sum.
#[inline(always)]
pub(crate) fn exp_in_place(x: &mut [f32], scale: f32, top: f32) -> f32 {
    let mut total = 0.0;
    for x in x.chunks_mut(CHUNK) {
        for x in x.iter_mut() {
            *x = exp(*x * scale - top);
        }
        total += sum(x);
    }
    total
}

/// `out = exp(x − top)`; returns the sum.
#[inline(always)]
pub(crate) fn exp_into(out: &mut [f32], x: &[f32], top: f32) -> f32 {
    let mut total = 0.0;
    for (out, x) in out.chunks_mut(CHUNK).zip(x.chunks(CHUNK)) {
        for (out, x) in out.iter_mut().zip(x) {
            *out = exp(*x - top);
        }
        total += sum(out);
    }
    total
}

/// `Σ exp(x − top)`.
#[inline(always)]
pub(crate) fn exp_sum(x: &[f32], top: f32) -> f32 {
    let mut values = [0.0f32; CHUNK];
    let mut total = 0.0;
    for x in x.chunks(CHUNK) {
        total += exp_into(&mut values[..x.len()], x, top);
    }
    total
}
