//! Layers with weights.

use std::sync::Arc;

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Shape, Tensor, TensorData};
use inkstone_kernels::Precision;

use crate::ops;
use crate::projection::Bits;

/// A row of a table by id.
#[derive(Module, Debug)]
pub struct Embedding {
    /// `[ids, width]`.
    weight: Param<Tensor<2>>,
    #[module(skip)]
    precision: Bits,
}

impl Embedding {
    /// An embedding with the given table, `[ids, width]`; `precision` is that of [`Self::project`].
    pub fn new(table: Vec<f32>, [ids, width]: [usize; 2], precision: Precision, device: &Device) -> Self {
        Self { weight: parameter(table, [ids, width], device), precision: Bits(precision) }
    }

    /// The rows of `ids[n]`, `[n, width]`.
    pub fn forward(&self, ids: Arc<[u32]>) -> Tensor<2> {
        ops::embedding(self.weight.val(), ids)
    }

    /// The product with the table, for a head that shares it: `x[n, width]` to `[n, ids]`.
    pub fn project(&self, x: Tensor<2>) -> Tensor<2> {
        ops::linear(x, self.weight.val(), self.precision.0)
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
    /// A norm with the given weight `[width]`; `eps` is added to the mean square.
    pub fn new(weight: Vec<f32>, width: usize, eps: f64, device: &Device) -> Self {
        Self { weight: parameter(weight, [width], device), eps }
    }

    /// `x[n, width]`, each row divided by its root mean square.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.forward_to(x, Precision::F32)
    }

    /// [`Self::forward`], kept in `output`.
    pub fn forward_to(&self, x: Tensor<2>, output: Precision) -> Tensor<2> {
        ops::rms_norm_to(x, self.weight.val(), self.eps as f32, output)
    }
}

/// Layer normalisation (arXiv:1607.06450).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`.
    weight: Param<Tensor<1>>,
    /// `[width]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// A norm with the given weight and bias `[width]`; `eps` is added to the variance.
    pub fn new((weight, bias): (Vec<f32>, Vec<f32>), width: usize, eps: f64, device: &Device) -> Self {
        Self { weight: parameter(weight, [width], device), bias: parameter(bias, [width], device), eps }
    }

    /// `x[n, width]`, each row with mean 0 and variance 1 before weight and bias.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        ops::layer_norm(x, (self.weight.val(), self.bias.val()), self.eps as f32)
    }
}

/// A parameter of `values`; without any, of its shape alone, which can be counted but not used.
pub fn parameter<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    if values.is_empty() {
        let zeros = move |device: &Device, _| Tensor::zeros(shape, device);
        return Param::uninitialized(ParamId::new(), zeros, device.clone(), false, Shape::from(shape));
    }
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
}
