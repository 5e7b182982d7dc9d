//! [`Projection`]: the one seam between a model and its matrix products.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};
use inkstone_kernels::quantised::Packed;
use inkstone_kernels::{FrozenFormat, FrozenWeight, Precision};

use crate::activation::Activation;
use crate::adapted::{Adapted, Change};
use crate::boxed::Boxed;
use crate::layers::parameter;
use crate::moments::Moments;
use crate::ops;
use crate::parameters::with_values;

/// The product with a weight, `x[n, inputs]` to `[n, outputs]`. A model holds projections and does not know of which kind;
/// whoever builds the model chooses.
#[derive(Module, Debug)]
pub enum Projection {
    /// A weight `[outputs, inputs]`.
    Dense(Dense),
    /// A weight `[inputs, outputs]`.
    Conv1d(Conv1d),
    /// Any of these with a small change around it.
    Adapted(Boxed<Adapted>),
    /// A frozen weight in blocks of few bits.
    Quantised(Quantised),
    /// A frozen weight in few bits, with a graph for what goes through it.
    Frozen(Frozen),
    /// A projection whose inputs are summed up.
    Watched(Watched),
}

/// The numbers of a projection.
#[derive(Debug)]
pub struct ProjectionWeights {
    /// The weight, in the layout of its kind.
    pub weight: Vec<f32>,
    /// The bias `[outputs]`, where there is one.
    pub bias: Option<Vec<f32>>,
    /// Width of the output.
    pub outputs: usize,
    /// Width of the input.
    pub inputs: usize,
}

/// `y = x Wᵀ + b`.
#[derive(Module, Debug)]
pub struct Dense {
    /// `[outputs, inputs]`.
    weight: Param<Tensor<2>>,
    /// `[outputs]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    precision: Bits,
}

/// `y = x W + b`, the layout of GPT-1 and GPT-2.
#[derive(Module, Debug)]
pub struct Conv1d {
    /// `[inputs, outputs]`.
    weight: Param<Tensor<2>>,
    /// `[outputs]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    precision: Bits,
}

/// `y = x Wᵀ + b` with a weight that is not trained, in blocks of few bits. Products round `x` to eight bits and leave no graph.
#[derive(Module, Debug)]
pub struct Quantised {
    /// `[outputs, inputs]`.
    #[module(skip)]
    weight: Arc<Packed>,
    /// `[outputs]`.
    bias: Option<Param<Tensor<1>>>,
}

/// `y = x Wᵀ + b` with a weight in few bits that is not trained, while what stands around it is (`QLoRA`, arXiv:2305.14314).
#[derive(Module, Debug)]
pub struct Frozen {
    /// `[outputs, inputs]`.
    #[module(skip)]
    weight: Arc<FrozenWeight>,
    /// `[outputs]`.
    bias: Option<Param<Tensor<1>>>,
    #[module(skip)]
    precision: Bits,
}

/// A projection that notes what goes into it, for those who want to change its weight without changing what it does. Its parameters are out of
/// sight.
#[derive(Module, Debug)]
pub struct Watched {
    #[module(skip)]
    projection: Arc<Projection>,
    #[module(skip)]
    moments: Arc<Moments>,
}

/// [`Precision`] as a constant of a module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bits(pub(crate) Precision);

impl Projection {
    /// A projection with the weight `[outputs, inputs]`.
    pub fn dense(weights: ProjectionWeights, precision: Precision, device: &Device) -> Self {
        let ProjectionWeights { weight, bias, outputs, inputs } = weights;
        let bias = bias.map(|bias| parameter(bias, [outputs], device));
        Self::Dense(Dense { weight: parameter(weight, [outputs, inputs], device), bias, precision: Bits(precision) })
    }

    /// A projection with the weight `[inputs, outputs]`.
    pub fn conv1d(weights: ProjectionWeights, precision: Precision, device: &Device) -> Self {
        let ProjectionWeights { weight, bias, outputs, inputs } = weights;
        let bias = bias.map(|bias| parameter(bias, [outputs], device));
        Self::Conv1d(Conv1d { weight: parameter(weight, [inputs, outputs], device), bias, precision: Bits(precision) })
    }

    /// This projection with a change around it.
    #[must_use]
    pub fn adapted(self, change: Change) -> Self {
        Self::Adapted(Boxed::new(Adapted::new(self, change)))
    }

    /// A projection with a weight in blocks.
    pub fn quantised(weight: Packed, bias: Option<Vec<f32>>, device: &Device) -> Self {
        let [outputs, _] = weight.shape();
        let bias = bias.map(|bias| parameter(bias, [outputs], device));
        Self::Quantised(Quantised { weight: Arc::new(weight), bias })
    }

    /// A projection with the nearest weight to `[outputs, inputs]` that `format` has.
    pub fn frozen(weights: ProjectionWeights, format: FrozenFormat, precision: Precision, device: &Device) -> Self {
        let ProjectionWeights { weight, bias, outputs, inputs } = weights;
        let bias = bias.map(|bias| parameter(bias, [outputs], device));
        let weight = Arc::new(FrozenWeight::new(&weight, [outputs, inputs], format));
        Self::Frozen(Frozen { weight, bias, precision: Bits(precision) })
    }

    /// The same projection, its inputs added to `moments`.
    #[must_use]
    pub fn watched(self, moments: Arc<Moments>) -> Self {
        Self::Watched(Watched { projection: Arc::new(self), moments })
    }

    /// Precision of the product's operands.
    pub fn precision(&self) -> Precision {
        match self {
            Self::Dense(dense) => dense.precision.0,
            Self::Conv1d(conv) => conv.precision.0,
            Self::Adapted(adapted) => adapted.base().precision(),
            Self::Quantised(_) => Precision::F32,
            Self::Frozen(frozen) => frozen.precision.0,
            Self::Watched(watched) => watched.projection.precision(),
        }
    }

    /// The weight `[outputs, inputs]`, and the precision of products with it, where nothing else belongs to the projection.
    pub fn plain(&self) -> Option<(Tensor<2>, Precision)> {
        match self {
            Self::Dense(Dense { weight, bias: None, precision: Bits(precision) }) => Some((weight.val(), *precision)),
            _ => None,
        }
    }

    /// [`Self::forward`], kept in the precision of the operands, for what goes into another product or into attention.
    pub fn forward_narrow(&self, x: Tensor<2>) -> Tensor<2> {
        let y = match self {
            Self::Dense(Dense { weight, precision: Bits(precision), .. }) => {
                ops::linear_to(x, weight.val(), *precision, *precision)
            }
            Self::Conv1d(Conv1d { weight, precision: Bits(precision), .. }) => {
                ops::conv1d_to(x, weight.val(), *precision, *precision)
            }
            _ => return self.forward(x),
        };
        self.add_bias(y)
    }

    /// [`Self::forward`] of `f(gate) · up`.
    pub fn forward_gated(&self, f: Activation, gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
        match self.plain() {
            Some((weight, precision)) if f == Activation::Silu => ops::swiglu_linear(gate, up, weight, precision),
            _ => self.forward(f.gated(gate, up)),
        }
    }

    /// [`Self::forward_narrow`] of several projections of one input; weights in blocks are computed in one go.
    pub fn forward_together<const N: usize>(projections: [&Self; N], x: Tensor<2>) -> [Tensor<2>; N] {
        let packed = projections.map(|projection| match projection {
            Self::Quantised(quantised) => Some(&*quantised.weight),
            _ => None,
        });
        if packed.iter().any(Option::is_none) {
            return projections.map(|projection| projection.forward_narrow(x.clone()));
        }
        let ys = ops::quantised_linears(x, packed.map(|weight| weight.expect("invariant: all are in blocks")));
        let mut ys = ys.into_iter();
        projections.map(|projection| projection.add_bias(ys.next().expect("invariant: a product each")))
    }

    /// `x[n, inputs]` to `[n, outputs]`, in f32.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Adapted(adapted) => adapted.forward(x),
            plain => plain.add_bias(plain.product(x)),
        }
    }

    /// The product of `x[n, inputs]` with the weight that a change is made around, without its bias.
    pub(crate) fn product(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(dense) => ops::linear(x, dense.weight.val(), dense.precision.0),
            Self::Conv1d(conv) => ops::conv1d(x, conv.weight.val(), conv.precision.0),
            Self::Adapted(adapted) => adapted.base().product(x),
            Self::Quantised(quantised) => ops::quantised_linear(x, &quantised.weight),
            Self::Frozen(frozen) => ops::frozen_linear(x, &frozen.weight, frozen.precision.0),
            Self::Watched(watched) => {
                with_values(x.clone(), |x| watched.moments.add(x));
                watched.projection.product(x)
            }
        }
    }

    /// Adds the bias, where there is one.
    pub(crate) fn add_bias(&self, y: Tensor<2>) -> Tensor<2> {
        let bias = match self {
            Self::Dense(dense) => &dense.bias,
            Self::Conv1d(conv) => &conv.bias,
            Self::Adapted(adapted) => return adapted.base().add_bias(y),
            Self::Quantised(quantised) => &quantised.bias,
            Self::Frozen(frozen) => &frozen.bias,
            Self::Watched(watched) => return watched.projection.add_bias(y),
        };
        match bias {
            Some(bias) => ops::add_bias(y, bias.val()),
            None => y,
        }
    }

    /// The weight that a change is made around, `[outputs, inputs]`.
    pub(crate) fn weight(&self) -> Tensor<2> {
        match self {
            Self::Dense(dense) => dense.weight.val(),
            Self::Conv1d(conv) => conv.weight.val().transpose(),
            Self::Adapted(adapted) => adapted.base().weight(),
            Self::Quantised(quantised) => Tensor::from_data(
                TensorData::new(quantised.weight.values(), quantised.weight.shape()),
                &crate::device(),
            ),
            Self::Frozen(frozen) => {
                let [outputs, inputs] = frozen.weight.shape();
                let mut values = vec![0.0; outputs * inputs];
                frozen.weight.dequantise(&mut values);
                Tensor::from_data(TensorData::new(values, [outputs, inputs]), &crate::device())
            }
            Self::Watched(watched) => watched.projection.weight(),
        }
    }

    /// The length of the weights of each output, `[outputs]`.
    pub fn row_norms(&self) -> Tensor<1> {
        if let Self::Quantised(quantised) = self {
            return Tensor::from_data(quantised.weight.row_norms().as_slice(), &crate::device());
        }
        let weight = self.weight();
        (weight.clone() * weight).sum_dim(1).sqrt().flatten(0, 1)
    }
}
