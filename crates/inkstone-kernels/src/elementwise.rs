//! Loops over elements: SwiGLU, sums.

use rayon::prelude::*;

use crate::exp::exp;
use crate::expect_len;
use crate::number::Number;
use crate::profile::{Work, span};
use crate::simd::simd_fn;

/// Elements per task.
pub(crate) const CHUNK: usize = 1 << 14;

/// `y = silu(gate) · up` (arXiv:2002.05202, equation 6 without its matrices).
///
/// # Panics
/// If the slices differ in length.
pub fn swiglu<N: Number>(y: &mut [N], gate: &[N], up: &[N]) {
    expect_len("gate", gate.len(), y.len());
    expect_len("up", up.len(), y.len());
    let _span = span("swiglu", || Work::moving(3 * size_of_val(y)));
    y.par_chunks_mut(CHUNK)
        .zip(gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK)))
        .for_each(|(y, (gate, up))| gate_forward(y, gate, up));
}

/// Gradients of [`swiglu`]: `dgate = dy · up · silu'(gate)`, `dup = dy · silu(gate)`. In the place of `dy` the output stands again.
///
/// # Panics
/// If the slices differ in length.
pub fn swiglu_backward<N: Number>((dgate, dup): (&mut [N], &mut [N]), dy: &mut [N], (gate, up): (&[N], &[N])) {
    for (name, length) in [("dgate", dgate.len()), ("dup", dup.len()), ("gate", gate.len()), ("up", up.len())] {
        expect_len(name, length, dy.len());
    }
    let _span = span("swiglu, gradient", || Work::moving(6 * size_of_val(dy)));
    let outputs = dgate.par_chunks_mut(CHUNK).zip(dup.par_chunks_mut(CHUNK)).zip(dy.par_chunks_mut(CHUNK));
    let inputs = gate.par_chunks(CHUNK).zip(up.par_chunks(CHUNK));
    outputs.zip(inputs).for_each(|(((dgate, dup), dy), (gate, up))| {
        gate_backward((dgate, dup), dy, gate, up);
    });
}

/// `sum = x + y`.
///
/// # Panics
/// If the slices differ in length.
pub fn add(sum: &mut [f32], x: &[f32], y: &[f32]) {
    expect_len("x", x.len(), sum.len());
    expect_len("y", y.len(), sum.len());
    let _span = span("add", || Work::moving(3 * size_of_val(sum)));
    let inputs = x.par_chunks(CHUNK).zip(y.par_chunks(CHUNK));
    sum.par_chunks_mut(CHUNK).zip(inputs).for_each(|(sum, (x, y))| block_add(sum, x, y));
}

/// `sum += factor · x`.
///
/// # Panics
/// If the slices differ in length.
pub fn add_scaled<N: Number>(sum: &mut [N], x: &[N], factor: f32) {
    expect_len("x", x.len(), sum.len());
    let _span = span("sum of gradients", || Work::moving(3 * size_of_val(sum)));
    sum.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(sum, x)| block_add_scaled(sum, x, factor));
}

/// `x *= factor`.
pub fn scale<N: Number>(x: &mut [N], factor: f32) {
    let _span = span("scale", || Work::moving(2 * size_of_val(x)));
    x.par_chunks_mut(CHUNK).for_each(|x| block_scale(x, factor));
}

/// `Σ x²`, in blocks of fixed size whose sums are added in order.
pub fn sum_of_squares(x: &[f32]) -> f64 {
    let _span = span("sum of squares", || Work::moving(size_of_val(x)));
    let blocks: Vec<f64> = x.par_chunks(CHUNK).map(block_sum_of_squares).collect();
    blocks.iter().sum()
}

simd_fn! {
    fn gate_forward<'a, N: Number>(y: &'a mut [N], gate: &'a [N], up: &'a [N]) {
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            let g = g.to_f32();
            *y = N::from_f32(g * (1.0 / (1.0 + exp(-g))) * u.to_f32());
        }
    }
}

simd_fn! {
    fn gate_backward<'a, N: Number>(grads: (&'a mut [N], &'a mut [N]), dy: &'a mut [N], gate: &'a [N], up: &'a [N]) {
        for ((dgate, dup), ((dy, gate), up)) in grads.0.iter_mut().zip(grads.1).zip(dy.iter_mut().zip(gate).zip(up)) {
            let (d, gate, up) = (dy.to_f32(), gate.to_f32(), up.to_f32());
            let sigmoid = 1.0 / (1.0 + exp(-gate));
            let silu = gate * sigmoid;
            *dup = N::from_f32(d * silu);
            *dgate = N::from_f32(d * up * (sigmoid + silu * (1.0 - sigmoid)));
            *dy = N::from_f32(silu * up);
        }
    }
}

simd_fn! {
    /// `sum += x`, on this thread.
    pub(crate) fn add_to<'a>(sum: &'a mut [f32], x: &'a [f32]) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum += x;
        }
    }
}

simd_fn! {
    fn block_add<'a>(sum: &'a mut [f32], x: &'a [f32], y: &'a [f32]) {
        for ((sum, x), y) in sum.iter_mut().zip(x).zip(y) {
            *sum = x + y;
        }
    }
}

simd_fn! {
    fn block_add_scaled<'a, N: Number>(sum: &'a mut [N], x: &'a [N], factor: f32) {
        for (sum, x) in sum.iter_mut().zip(x) {
            *sum = N::from_f32(sum.to_f32() + factor * x.to_f32());
        }
    }
}

simd_fn! {
    fn block_scale<'a, N: Number>(x: &'a mut [N], factor: f32) {
        for x in x.iter_mut() {
            *x = N::from_f32(x.to_f32() * factor);
        }
    }
}

simd_fn! {
    fn block_sum_of_squares<'a>(x: &'a [f32]) -> f64 {
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
}
