//! A projection with a small trainable change around it.
//!
//! Shapes: n rows, i inputs, o outputs, r rank.
#![expect(non_snake_case, reason = "PEFT's names of parameters")]

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor, TensorData};

use crate::draws::mix;
use crate::layers::parameter;
use crate::ops;
use crate::parameters::with_values;
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
    #[module(skip)]
    dropout: Option<Dropout>,
}

/// What a change does not see of its inputs while it is trained: each number with the same chance (arXiv:1207.0580); the others are
/// made larger by as much, so that their sum is what it was.
///
/// Which ones is a function of `seed`, of the place, and of the inputs' first column: so every batch has its own, and a run that was
/// killed has the same again.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The share that is not seen, below 1.
    pub share: f64,
    /// What the draws begin with.
    pub seed: u64,
}

impl Dropout {
    /// `x[n, i]` with zeros.
    fn forward(self, x_ni: Tensor<2>) -> Tensor<2> {
        let ([n, i], device) = (x_ni.dims(), x_ni.device());
        let mut seed = self.seed;
        let first_n1 = x_ni.clone().detach().slice([0..n, 0..1]).cast(FloatDType::F32);
        with_values(first_n1, |first| first.iter().for_each(|x| seed = mixed(seed ^ u64::from(x.to_bits()))));
        let (limit, kept) = ((self.share * 2.0_f64.powi(64)) as u64, (1.0 / (1.0 - self.share)) as f32);
        let factor = |at: usize| if mixed(seed.wrapping_add(at as u64)) < limit { 0.0 } else { kept };
        let factors: Vec<f32> = (0..n * i).map(factor).collect();
        x_ni.cast(FloatDType::F32) * Tensor::from_data(TensorData::new(factors, [n, i]), &device)
    }
}

/// The output of `SplitMix64` in the state `x`.
fn mixed(x: u64) -> u64 {
    mix(x.wrapping_add(0x9E37_79B9_7F4A_7C15))
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
            dropout: None,
        }
    }

    /// The same change that does not see all of its inputs while it is trained.
    #[must_use]
    pub fn with_dropout(self, dropout: Dropout) -> Self {
        Self { dropout: (dropout.share > 0.0).then_some(dropout), ..self }
    }

    fn forward(&self, base: &Projection, x_ni: Tensor<2>) -> Tensor<2> {
        let precision = base.precision();
        // A model that is not trained has no gradients.
        let dropout = self.dropout.filter(|_| self.lora_A.weight.is_require_grad());
        let seen_ni = dropout.map_or_else(|| x_ni.clone(), |dropout| dropout.forward(x_ni.clone()));
        let low_nr = ops::linear(seen_ni, self.lora_A.weight.val(), precision) * self.scaling;
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

#[cfg(test)]
mod tests {
    use burn::tensor::{Tensor, TensorData};
    use inkstone_kernels::Precision;

    use super::{Dropout, LowRank, LowRankWeights};
    use crate::{Change, Projection, ProjectionWeights, device, training_device};

    const SHARE: f64 = 0.25;

    fn inputs(first: f32) -> Tensor<2> {
        let values: Vec<f32> = (0..64 * 32).map(|at| if at == 0 { first } else { 1.0 }).collect();
        Tensor::from_data(TensorData::new(values, [64, 32]), &device())
    }

    fn seen(seed: u64, first: f32) -> Vec<f32> {
        Dropout { share: SHARE, seed }.forward(inputs(first)).into_data().try_to_vec::<f32>().expect("f32")
    }

    #[test]
    fn a_share_is_not_seen_which_depends_on_seed_and_batch_alone() {
        let one = seen(1, 1.0);
        let zeros = one.iter().filter(|&&x| x == 0.0).count() as f64 / one.len() as f64;
        assert!((zeros - SHARE).abs() < 0.04, "{zeros}");
        let mean = one.iter().sum::<f32>() / one.len() as f32;
        assert!((mean - 1.0).abs() < 0.06 && one.iter().all(|&x| x == 0.0 || (x - 4.0 / 3.0).abs() < 1e-6), "{mean}");
        assert_eq!(one, seen(1, 1.0));
        assert_ne!(one, seen(2, 1.0));
        assert_ne!(one[32..], seen(1, 1.5)[32..]);
    }

    #[test]
    fn a_model_that_is_not_trained_sees_everything() {
        let projection = |share: f64, device: &burn::tensor::Device| {
            let weights = ProjectionWeights { weight: vec![0.5; 32], bias: None, outputs: 1, inputs: 32 };
            let low = LowRankWeights { a: vec![1.0; 32], b: vec![1.0], magnitude: None, rank: 1, scaling: 1.0 };
            let change = LowRank::new(low, [1, 32], device).with_dropout(Dropout { share, seed: 5 });
            Projection::dense(weights, Precision::F32, device).adapted(Change::LowRank(change))
        };
        let result = |share: f64, device: &burn::tensor::Device| {
            let x = Tensor::from_data(TensorData::new(vec![1.0_f32; 8 * 32], [8, 32]), device);
            projection(share, device).forward(x).into_data().try_to_vec::<f32>().expect("f32")
        };
        assert_eq!(result(SHARE, &device()), result(0.0, &device()));
        assert_ne!(result(SHARE, &training_device()), result(0.0, &training_device()));
    }
}
