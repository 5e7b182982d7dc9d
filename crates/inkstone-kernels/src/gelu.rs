//! The Gaussian error linear unit (arXiv:1606.08415), exact and by the hyperbolic tangent.

use rayon::prelude::*;

use crate::elementwise::CHUNK;
use crate::exp::exp;
use crate::expect_len;
use crate::number::Number;
use crate::profile::{Work, span};
use crate::simd::simd_fn;

/// Which form of GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gelu {
    /// `x · Φ(x)` with the normal distribution's Φ (section 2).
    Exact,
    /// `x/2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))` (the same section), as in GPT-2.
    Tanh,
}

/// `y = gelu(x)`.
///
/// # Panics
/// If the slices differ in length.
pub fn gelu<N: Number>(y: &mut [N], x: &[N], form: Gelu) {
    expect_len("x", x.len(), y.len());
    let _span = span("gelu", || Work::moving(2 * size_of_val(y)));
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).for_each(|(y, x)| match form {
        Gelu::Exact => exact_forward(y, x),
        Gelu::Tanh => tanh_forward(y, x),
    });
}

/// Gradient of [`gelu`]: `dx = dy · gelu'(x)`.
///
/// # Panics
/// If the slices differ in length.
pub fn gelu_backward<N: Number>(dx: &mut [N], dy: &[N], x: &[N], form: Gelu) {
    expect_len("dy", dy.len(), dx.len());
    expect_len("x", x.len(), dx.len());
    let _span = span("gelu, gradient", || Work::moving(3 * size_of_val(dx)));
    dx.par_chunks_mut(CHUNK).zip(dy.par_chunks(CHUNK).zip(x.par_chunks(CHUNK))).for_each(|(dx, (dy, x))| match form {
        Gelu::Exact => exact_backward(dx, dy, x),
        Gelu::Tanh => tanh_backward(dx, dy, x),
    });
}

simd_fn! {
    fn exact_forward<'a, N: Number>(y: &'a mut [N], x: &'a [N]) {
        for (y, x) in y.iter_mut().zip(x) {
            let x = x.to_f32();
            *y = N::from_f32(x * normal_cdf(x));
        }
    }
}

simd_fn! {
    fn exact_backward<'a, N: Number>(dx: &'a mut [N], dy: &'a [N], x: &'a [N]) {
        for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
            let x = x.to_f32();
            let density = 0.398_942_3 * exp(-0.5 * x * x);
            *dx = N::from_f32(dy.to_f32() * (normal_cdf(x) + x * density));
        }
    }
}

/// 2·√(2/π): `(1 + tanh u)/2` is the logistic function of `2u`.
const SLOPE: f32 = 1.595_769;
const CUBIC: f32 = 0.044_715;

simd_fn! {
    fn tanh_forward<'a, N: Number>(y: &'a mut [N], x: &'a [N]) {
        for (y, x) in y.iter_mut().zip(x) {
            let x = x.to_f32();
            *y = N::from_f32(x / (1.0 + exp(-SLOPE * (x + CUBIC * x * x * x))));
        }
    }
}

simd_fn! {
    fn tanh_backward<'a, N: Number>(dx: &'a mut [N], dy: &'a [N], x: &'a [N]) {
        for ((dx, dy), x) in dx.iter_mut().zip(dy).zip(x) {
            let x = x.to_f32();
            let gate = 1.0 / (1.0 + exp(-SLOPE * (x + CUBIC * x * x * x)));
            let slope = SLOPE * (1.0 + 3.0 * CUBIC * x * x);
            *dx = N::from_f32(dy.to_f32() * (gate + x * gate * (1.0 - gate) * slope));
        }
    }
}

/// Φ(x) to 1e-7: the error function after Abramowitz and Stegun, formula 7.1.26.
#[inline(always)]
fn normal_cdf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * z);
    let p = 1.061_405_4 * t - 1.453_152;
    let p = p * t + 1.421_413_7;
    let p = p * t - 0.284_496_74;
    let p = p * t + 0.254_829_6;
    let tail = 0.5 * p * t * exp(-z * z);
    if x < 0.0 { tail } else { 1.0 - tail }
}
