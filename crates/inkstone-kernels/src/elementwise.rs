//! Loops over elements: SwiGLU, sums.

use rayon::prelude::*;

use crate::exp::exp;
use crate::expect_len;

/// Elements per task.
pub(crate) const CHUNK: usize = 1 << 14;

/// `y = silu(gate) · up` (arXiv:2002.05202, equation 6 without its matrices).
///
/// # Panics
/// If the slices differ in length.
pub fn swiglu(y: &mut [f32], gate: &[f32], up: &[f32]) {
    expect_len("gate", gate.len(), y.len());
    expect_len("up", up.len(), y.len());
    y.par_chunks_mut(CHUNK).zip(gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK))).for_each(|(y, (gate, up))| {
        pulp::Arch::new().dispatch(|| {
            for ((y, &g), &u) in y.iter_mut().zip(gate).zip(up) {
                *y = g / (1.0 + exp(-g)) * u;
            }
        });
    });
}

/// Gradients of [`swiglu`]: `dgate = dy · up · silu'(gate)`, `dup = dy · silu(gate)`.
///
/// # Panics
/// If the slices differ in length.
pub fn swiglu_backward(dgate: &mut [f32], dup: &mut [f32], dy: &[f32], gate: &[f32], up: &[f32]) {
    for (name, length) in [("dgate", dgate.len()), ("dup", dup.len()), ("gate", gate.len()), ("up", up.len())] {
        expect_len(name, length, dy.len());
    }
    let outputs = dgate.par_chunks_mut(CHUNK).zip(dup.par_chunks_mut(CHUNK));
    let inputs = dy.par_chunks(CHUNK).zip(gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)));
    outputs.zip(inputs).for_each(|((dgate, dup), (dy, (gate, up)))| {
        pulp::Arch::new().dispatch(|| {
            for i in 0..dy.len() {
                let sigmoid = 1.0 / (1.0 + exp(-gate[i]));
                let silu = gate[i] * sigmoid;
                dup[i] = dy[i] * silu;
                dgate[i] = dy[i] * up[i] * (sigmoid + silu * (1.0 - sigmoid));
            }
        });
    });
}

/// `sum += factor · x`.
///
/// # Panics
/// If the slices differ in length.
pub fn add_scaled(sum: &mut [f32], x: &[f32], factor: f32) {
    expect_len("x", x.len(), sum.len());
    sum.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sum, x)| {
        pulp::Arch::new().dispatch(|| sum.iter_mut().zip(x).for_each(|(sum, x)| *sum += factor * x));
    });
}

/// `Σ x²`, in blocks of fixed size whose sums are added in order.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let blocks: Vec<f64> =
        x.par_chunks(CHUNK).map(|x| pulp::Arch::new().dispatch(|| block_sum_of_squares(x))).collect();
    blocks.iter().sum()
}

#[inline(always)]
fn block_sum_of_squares(x: &[f32]) -> f64 {
    let mut sums = [0.0f64; 16];
    let blocks = x.chunks_exact(16);
    let tail: f64 = blocks.remainder().iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    for block in blocks {
        for lane in 0..16 {
            sums[lane] += f64::from(block[lane]) * f64::from(block[lane]);
        }
    }
    sums.iter().sum::<f64>() + tail
}
