//! The operations that models are written in. On the CPU device each one is a kernel with its own
//! backward ([`fused`](self)); on other devices it is the composed form ([`composed`]), which is
//! also the oracle of the fused one.
//!
//! Shapes: n rows (b·t), b batch, t position, h query heads, g key heads, d head width.

mod add;
mod attention;
mod backward;
mod bias;
mod buffers;
pub mod composed;
mod conv1d;
mod frozen_linear;
mod fused;
mod gelu;
mod gradients;
mod layer_norm;
mod linear_cross_entropy;
mod packed_attention;
mod quantised;
mod stored;
mod swiglu_linear;
mod token_losses;

use std::sync::{Arc, Mutex};

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::{Device, Tensor};
use inkstone_kernels::Precision;

pub(crate) use fused::flat;
use fused::{Fused, Product};
pub(crate) use stored::contiguous;

pub use add::add;
pub use attention::{Attention, Bias, Mask, append, attention, attention_over};
pub use bias::add_bias;
pub use conv1d::{conv1d, conv1d_to};
pub use frozen_linear::frozen_linear;
pub use gelu::gelu;
pub use layer_norm::{layer_norm, layer_norm_to};
pub use linear_cross_entropy::linear_cross_entropy;
pub use packed_attention::{Heads, packed_attention, split_heads};
pub use quantised::{quantised_linear, quantised_linears};
pub use swiglu_linear::swiglu_linear;
pub use token_losses::token_losses;

/// Whether a device is the CPU that our kernels run on.
fn is_cpu(device: &Device) -> bool {
    matches!(device.clone().without_autodiff().as_dispatch(), DispatchDevice::Flex(_))
}

/// `y[n, o] = x[n, i] · w[o, i]ᵀ`, kept in f32.
pub fn linear(x: Tensor<2>, w: Tensor<2>, precision: Precision) -> Tensor<2> {
    linear_to(x, w, precision, Precision::F32)
}

/// [`linear`], kept in `output`: what goes into another product in bfloat16 loses nothing by being kept so.
pub fn linear_to(x: Tensor<2>, w: Tensor<2>, precision: Precision, output: Precision) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        return composed::linear(x, w);
    }
    let how = Product { precision, output };
    Tensor::from_dispatch(<Dispatch as Fused>::linear(x.into_dispatch(), w.into_dispatch(), how))
}

/// `y[n, :] = table[ids[n], :]`.
pub fn embedding(table: Tensor<2>, ids: Arc<[u32]>) -> Tensor<2> {
    if !is_cpu(&table.device()) {
        return composed::embedding(table, &ids);
    }
    Tensor::from_dispatch(<Dispatch as Fused>::embedding(table.into_dispatch(), ids))
}

/// `y[n, :] = x[n, :] / rms(x[n, :]) · weight` (arXiv:1910.07467, equation 4), kept in f32.
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    rms_norm_to(x, weight, eps, Precision::F32)
}

/// [`rms_norm`], kept in `output`.
pub fn rms_norm_to(x: Tensor<2>, weight: Tensor<1>, eps: f32, output: Precision) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        return composed::rms_norm(x, weight, eps);
    }
    let how = (eps, output);
    Tensor::from_dispatch(<Dispatch as Fused>::rms_norm(x.into_dispatch(), weight.into_dispatch(), how))
}

/// `silu(gate) · up` (arXiv:2002.05202).
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    if !is_cpu(&gate.device()) {
        return composed::swiglu(gate, up);
    }
    Tensor::from_dispatch(<Dispatch as Fused>::swiglu(gate.into_dispatch(), up.into_dispatch()))
}

/// Cosines and sines of the rotary angles of consecutive positions, `[t, d/2]` each.
#[derive(Debug, Clone)]
pub struct RopeAngles {
    cos: Arc<[f32]>,
    sin: Arc<[f32]>,
    half: usize,
}

impl RopeAngles {
    /// Angles `position · theta^(−2i/d)` of `length` positions from `first` on (arXiv:2104.09864, section 3.2.2).
    pub fn new(first: usize, length: usize, head_dim: usize, theta: f64) -> Self {
        Self::of(first, length, &Self::frequencies(head_dim, theta))
    }

    /// `theta^(−2i/d)` for each pair of a head: the angle from one position to the next. In f32 steps, as the
    /// reference implementations do it, so that long contexts agree with them.
    pub fn frequencies(head_dim: usize, theta: f64) -> Vec<f32> {
        (0..head_dim / 2).map(|i| 1.0 / (theta as f32).powf((2 * i) as f32 / head_dim as f32)).collect()
    }

    /// Numbers of a head that turn.
    pub fn width(&self) -> usize {
        2 * self.half
    }

    /// Angles of any positions, given those from one position to the next.
    pub fn at(positions: &[u32], frequencies: &[f32]) -> Self {
        let half = frequencies.len();
        let angle = |n: usize| positions[n / half] as f32 * frequencies[n % half];
        let (cos, sin): (Vec<f32>, Vec<f32>) =
            (0..positions.len() * half).map(|n| (angle(n).cos(), angle(n).sin())).unzip();
        Self { cos: cos.into(), sin: sin.into(), half }
    }

    /// Angles of `length` positions from `first` on, given those from one position to the next.
    pub fn of(first: usize, length: usize, frequencies: &[f32]) -> Self {
        let half = frequencies.len();
        let angle = |n: usize| (first + n / half) as f32 * frequencies[n % half];
        let (cos, sin): (Vec<f32>, Vec<f32>) = (0..length * half).map(|n| (angle(n).cos(), angle(n).sin())).unzip();
        Self { cos: cos.into(), sin: sin.into(), half }
    }
}

/// Rotates each pair `(x[i], x[i + d/2])` of every head of `x[b, t, h, d]` by the angle of its position.
pub fn rope(x: Tensor<4>, angles: &RopeAngles) -> Tensor<4> {
    if !is_cpu(&x.device()) {
        return composed::rope(x, angles);
    }
    Tensor::from_dispatch(<Dispatch as Fused>::rope(x.into_dispatch(), angles.clone()))
}

/// A mean cross-entropy with its parts.
#[derive(Debug)]
pub struct CrossEntropy {
    /// Mean over the labelled rows, `[1]`; 0 without any.
    pub mean: Tensor<1>,
    /// Loss of each row; 0 where it has no label.
    pub losses: Vec<f32>,
    /// Labelled rows.
    pub counted: usize,
}

/// Softmax cross-entropy of `logits[n, v]` against `labels[n]`; a negative label is none.
pub fn cross_entropy(logits: Tensor<2>, labels: Arc<[i32]>) -> CrossEntropy {
    let counted = labels.iter().filter(|&&label| label >= 0).count();
    if !is_cpu(&logits.device()) {
        return composed::cross_entropy(logits, &labels, counted);
    }
    let losses = Arc::new(Mutex::new(Vec::new()));
    let mean =
        Tensor::from_dispatch(<Dispatch as Fused>::cross_entropy(logits.into_dispatch(), labels, Arc::clone(&losses)));
    let losses = std::mem::take(&mut *losses.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    CrossEntropy { mean, losses, counted }
}
