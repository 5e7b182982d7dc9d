//! Layers with weights.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use inkstone_kernels::Precision;

use crate::ops;

/// `y = x Wᵀ`, the product with a weight.
#[derive(Module, Debug)]
pub struct Projection {
    /// `[outputs, inputs]`.
    weight: Param<Tensor<2>>,
    #[module(skip)]
    precision: Bits,
}

/// [`Precision`] as a constant of a module.
#[derive(Debug, Clone, Copy)]
struct Bits(Precision);

impl Projection {
    /// A projection with the given weight, `[outputs, inputs]`.
    pub fn new(weight: Vec<f32>, [outputs, inputs]: [usize; 2], precision: Precision, device: &Device) -> Self {
        Self { weight: parameter(weight, [outputs, inputs], device), precision: Bits(precision) }
    }

    /// `x[n, inputs]` to `[n, outputs]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, self.weight.val(), self.precision.0)
    }
}

/// A row of a table by id.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[ids, width]`.
    weight: Param<Tensor<2>>,
}

impl Embedding {
    /// An embedding with the given table, `[ids, width]`.
    pub fn new(table: Vec<f32>, [ids, width]: [usize; 2], device: &Device) -> Self {
        Self { weight: parameter(table, [ids, width], device) }
    }

    /// The rows of `ids[n]`, `[n, width]`.
    pub fn forward(&self, ids: Arc<[u32]>) -> Tensor<2> {
        ops::embedding(self.weight.val(), ids)
    }

    /// The product with the table, for a head that shares it: `x[n, width]` to `[n, ids]`.
    pub fn project(&self, x: Tensor<2>, precision: Precision) -> Tensor<2> {
        ops::linear(x, self.weight.val(), precision)
    }
}

/// RMSNorm (arXiv:1910.07467).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[width]`.
    weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    /// A norm with the given weight; `eps` is added to the mean square.
    pub fn new(weight: Vec<f32>, eps: f64, device: &Device) -> Self {
        let width = weight.len();
        Self { weight: parameter(weight, [width], device), eps }
    }

    /// `x[n, width]`, each row divided by its root mean square.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::rms_norm(x, self.weight.val(), self.eps as f32)
    }
}

fn parameter<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
}
