//! A projection with a small trainable change around it.
//!
//! Shapes: n rows, i inputs, o outputs, r rank.
#![expect(non_snake_case, reason = "PEFT's names of parameters")]

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use crate::layers::parameter;
use crate::ops;
use crate::projection::Projection;

/// A projection and what changes its result. The parameters of the projection keep their names; those of the change stand
/// beside them under the names that PEFT gives them.
#[derive(Module, Debug)]
pub struct Adapted {
    base: Projection,
    change: Change,
}

/// What changes the result of a projection.
#[derive(Module, Debug)]
pub enum Change {
    /// A product of two thin matrices is added to the weight.
    LowRank(LowRank),
    /// Inputs or outputs are scaled.
    Scaled(Scaled),
    /// A small network is added behind.
    Bottleneck(Bottleneck),
    /// Fixed directions are added to the weight, each as far as was learnt.
    Directions(Directions),
}

/// `W + s·B·A` (`LoRA`, arXiv:2106.09685, equation 3); with magnitudes `m`, `m · (W + s·B·A) / ‖W + s·B·A‖`, row by row
/// (`DoRA`, arXiv:2402.09353, equation 5).
#[derive(Module, Debug)]
pub struct LowRank {
    lora_A: Matrix,
    lora_B: Matrix,
    /// `[o]`.
    lora_magnitude_vector: Option<Param<Tensor<1>>>,
    #[module(skip)]
    scaling: f64,
}

/// A matrix under a name of its own.
#[derive(Module, Debug)]
struct Matrix {
    weight: Param<Tensor<2>>,
}

/// The numbers of a [`LowRank`].
#[derive(Debug, Clone)]
pub struct LowRankWeights {
    /// `[r, i]`.
    pub a: Vec<f32>,
    /// `[o, r]`.
    pub b: Vec<f32>,
    /// `[o]`, for `DoRA`.
    pub magnitude: Option<Vec<f32>>,
    /// r.
    pub rank: usize,
    /// s.
    pub scaling: f64,
}

/// `(IA)³` (arXiv:2205.05638, section 3.3): a learned factor for each output, or for each input.
#[derive(Module, Debug)]
pub struct Scaled {
    /// `[o, 1]`, or `[1, i]` where the input is scaled.
    ia3_l: Param<Tensor<2>>,
    #[module(skip)]
    input: bool,
}

/// `y + U·relu(D·y + d) + u` behind the projection (adapters, arXiv:1902.00751, section 2.1).
#[derive(Module, Debug)]
pub struct Bottleneck {
    adapter_down: Affine,
    adapter_up: Affine,
}

/// A matrix and a bias.
#[derive(Module, Debug)]
struct Affine {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

/// The numbers of a [`Bottleneck`] of width m.
#[derive(Debug, Clone)]
pub struct BottleneckWeights {
    /// D, `[m, o]`.
    pub down: Vec<f32>,
    /// d, `[m]`.
    pub down_bias: Vec<f32>,
    /// U, `[o, m]`.
    pub up: Vec<f32>,
    /// u, `[o]`.
    pub up_bias: Vec<f32>,
}

/// `W + B·diag(z)·A` with matrices that are drawn once and never trained: a step in a space of few random directions
/// (arXiv:1804.08838, equation 2).
#[derive(Module, Debug)]
pub struct Directions {
    /// `[r]`.
    intrinsic_z: Param<Tensor<1>>,
    /// `[r, i]` and `[o, r]`.
    #[module(skip)]
    fixed: Arc<(Tensor<2>, Tensor<2>)>,
}

impl Bottleneck {
    /// Behind a projection to `outputs` numbers.
    pub fn new(weights: BottleneckWeights, outputs: usize, device: &Device) -> Self {
        let BottleneckWeights { down, down_bias, up, up_bias } = weights;
        let width = down_bias.len();
        let affine = |weight, bias, shape: [usize; 2]| Affine {
            weight: parameter(weight, shape, device),
            bias: parameter(bias, [shape[0]], device),
        };
        Self {
            adapter_down: affine(down, down_bias, [width, outputs]),
            adapter_up: affine(up, up_bias, [outputs, width]),
        }
    }

    fn forward(&self, base: &Projection, x_ni: Tensor<2>) -> Tensor<2> {
        let (precision, y_no) = (base.precision(), base.forward(x_ni));
        let product =
            |affine: &Affine, x| ops::add_bias(ops::linear(x, affine.weight.val(), precision), affine.bias.val());
        let middle_nm = burn::tensor::activation::relu(product(&self.adapter_down, y_no.clone()));
        ops::add(y_no, product(&self.adapter_up, middle_nm))
    }
}

impl Directions {
    /// `lengths[r]` along the directions `b[o, r]`, `a[r, i]`.
    pub fn new(
        lengths: Vec<f32>,
        (a, b): (Vec<f32>, Vec<f32>),
        [outputs, inputs]: [usize; 2],
        device: &Device,
    ) -> Self {
        let rank = lengths.len();
        // A source of shapes alone draws nothing.
        let fixed = |values: Vec<f32>, shape: [usize; 2]| {
            let count = shape[0] * shape[1];
            let values = if values.len() == count { values } else { vec![0.0; count] };
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let fixed = Arc::new((fixed(a, [rank, inputs]), fixed(b, [outputs, rank])));
        Self { intrinsic_z: parameter(lengths, [rank], device), fixed }
    }

    fn forward(&self, base: &Projection, x_ni: Tensor<2>) -> Tensor<2> {
        let (precision, (a_ri, b_or)) = (base.precision(), &*self.fixed);
        let along_nr = ops::linear(x_ni.clone(), a_ri.clone(), precision) * self.intrinsic_z.val().unsqueeze_dim(0);
        base.add_bias(ops::add(base.product(x_ni), ops::linear(along_nr, b_or.clone(), precision)))
    }
}

impl LowRank {
    /// A change of a projection from `inputs` to `outputs` numbers.
    pub fn new(weights: LowRankWeights, [outputs, inputs]: [usize; 2], device: &Device) -> Self {
        let LowRankWeights { a, b, magnitude, rank, scaling } = weights;
        Self {
            lora_A: Matrix { weight: parameter(a, [rank, inputs], device) },
            lora_B: Matrix { weight: parameter(b, [outputs, rank], device) },
            lora_magnitude_vector: magnitude.map(|magnitude| parameter(magnitude, [outputs], device)),
            scaling,
        }
    }

    fn forward(&self, base: &Projection, x_ni: Tensor<2>) -> Tensor<2> {
        let precision = base.precision();
        let low_nr = ops::linear(x_ni.clone(), self.lora_A.weight.val(), precision) * self.scaling;
        let change_no = ops::linear(low_nr, self.lora_B.weight.val(), precision);
        let y_no = ops::add(base.product(x_ni), change_no);
        let y_no = match &self.lora_magnitude_vector {
            Some(magnitude) => {
                let factor_o = magnitude.val() / self.norms(base);
                y_no * factor_o.unsqueeze_dim(0)
            }
            None => y_no,
        };
        base.add_bias(y_no)
    }

    /// The lengths of the rows of the changed weight, `[o]`: constants to the gradient (arXiv:2402.09353, section 4.3).
    fn norms(&self, base: &Projection) -> Tensor<1> {
        let change_oi = self.lora_B.weight.val().matmul(self.lora_A.weight.val()) * self.scaling;
        let weight_oi = (base.weight() + change_oi).detach();
        (weight_oi.clone() * weight_oi).sum_dim(1).sqrt().flatten(0, 1)
    }
}

impl Scaled {
    /// Factors of the outputs, or of the inputs.
    pub fn new(factors: Vec<f32>, input: bool, device: &Device) -> Self {
        let shape = if input { [1, factors.len()] } else { [factors.len(), 1] };
        Self { ia3_l: parameter(factors, shape, device), input }
    }

    fn forward(&self, base: &Projection, x_ni: Tensor<2>) -> Tensor<2> {
        if self.input {
            // Between products of bfloat16 an input may be kept in it.
            base.forward(x_ni.cast(FloatDType::F32) * self.ia3_l.val())
        } else {
            base.forward(x_ni) * self.ia3_l.val().transpose()
        }
    }
}

impl Adapted {
    /// `change` around `base`.
    pub fn new(base: Projection, change: Change) -> Self {
        Self { base, change }
    }

    /// What is changed.
    pub fn base(&self) -> &Projection {
        &self.base
    }

    /// `x[n, i]` to `[n, o]`.
    pub fn forward(&self, x_ni: Tensor<2>) -> Tensor<2> {
        match &self.change {
            Change::LowRank(change) => change.forward(&self.base, x_ni),
            Change::Scaled(change) => change.forward(&self.base, x_ni),
            Change::Bottleneck(change) => change.forward(&self.base, x_ni),
            Change::Directions(change) => change.forward(&self.base, x_ni),
        }
    }
}
