//! The functions between two projections.

use burn::tensor::{Tensor, activation};
use inkstone_kernels::Gelu;

use crate::ops;

/// An element-wise function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// The Gaussian error linear unit (arXiv:1606.08415).
    Gelu(Gelu),
    /// `max(x, 0)`.
    Relu,
    /// `x / (1 + e⁻ˣ)`.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
}

impl Activation {
    /// The names that a `config.json` may say.
    pub const NAMES: &[&str] = &["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh"];

    /// The function that a `config.json` means by `name`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "gelu" => Some(Self::Gelu(Gelu::Exact)),
            "gelu_new" | "gelu_fast" | "gelu_pytorch_tanh" => Some(Self::Gelu(Gelu::Tanh)),
            "relu" => Some(Self::Relu),
            "silu" | "swish" => Some(Self::Silu),
            "tanh" => Some(Self::Tanh),
            _ => None,
        }
    }

    /// The function of every element of `x[n, width]`.
    pub fn forward(self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Gelu(form) => ops::gelu(x, form),
            Self::Relu => activation::relu(x),
            Self::Silu => activation::silu(x),
            Self::Tanh => x.tanh(),
        }
    }

    /// `f(gate) · up` (arXiv:2002.05202).
    pub fn gated(self, gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
        if self == Self::Silu { ops::swiglu(gate, up) } else { self.forward(gate) * up }
    }
}
