//! Products with weights in few bits that are not trained, for training what stands around them.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Tensor, TensorData};
use inkstone_kernels as kernels;
use inkstone_kernels::{FrozenWeight, LinearShape, Precision};

use super::buffers::Buffer;
use super::stored::{Stored, compact, outline, stored, typed};
use super::{composed, gradients, is_cpu};

/// `x[n, i] · w[o, i]ᵀ` with a gradient for `x`. The numbers that `w` stands for are made for each product and forgotten.
pub fn frozen_linear(x: Tensor<2>, w: &Arc<FrozenWeight>, precision: Precision) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        let (values, device) = (whole(w), x.device());
        return composed::linear(x, Tensor::from_data(TensorData::new(values.to_vec(), w.shape()), &device));
    }
    Tensor::from_dispatch(<Dispatch as Fused>::frozen_linear(x.into_dispatch(), Arc::clone(w), precision))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn frozen_linear(x: FloatTensor<Self>, w: Arc<FrozenWeight>, precision: Precision) -> FloatTensor<Self>;
}

/// The numbers of `w`.
fn whole(w: &FrozenWeight) -> Buffer<f32> {
    let [outputs, inputs] = w.shape();
    let mut values = Buffer::<f32>::new(outputs * inputs);
    w.dequantise(&mut values);
    values
}

fn shape(x: &FlexTensor, w: &FrozenWeight) -> LinearShape {
    let ([rows, inputs], [outputs, _]) = (x.shape().dims(), w.shape());
    LinearShape { rows, inputs, outputs }
}

impl Fused for Flex {
    fn frozen_linear(x: FlexTensor, w: Arc<FrozenWeight>, precision: Precision) -> FlexTensor {
        let x = compact(x);
        let shape = shape(&x, &w);
        let mut y = Buffer::<f32>::new(shape.rows * shape.outputs);
        typed!(x, N => kernels::linear(&mut y, stored::<N>(&x), &whole(&w), shape, precision));
        y.into_tensor([shape.rows, shape.outputs])
    }
}

#[derive(Debug)]
struct FrozenLinearBackward;

impl Backward<Flex, 1> for FrozenLinearBackward {
    /// The outline of the input, whose numbers the gradient does not need.
    type State = (FlexTensor, Arc<FrozenWeight>, Precision);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let (x, w, precision) = &ops.state;
        if gradients::wanted(&ops, 0) {
            let shape = shape(x, w);
            let dx = typed!(dy, M => typed!(x, N => input_gradient::<M, N>(stored(&dy), (x, w), shape, *precision)));
            gradients::register(grads, &ops, 0, dx);
        }
    }
}

fn input_gradient<M: Stored, N: Stored>(
    dy: &[M],
    (x, w): (&FlexTensor, &FrozenWeight),
    shape: LinearShape,
    precision: Precision,
) -> FlexTensor {
    let mut dx = Buffer::<N>::new(shape.rows * shape.inputs);
    kernels::linear_grad_input(&mut dx, dy, &whole(w), shape, precision);
    dx.into_shaped(x.shape())
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn frozen_linear(x: FloatTensor<Self>, w: Arc<FrozenWeight>, precision: Precision) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match FrozenLinearBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let outline = outline(&x);
                prep.finish((outline, Arc::clone(&w), precision), Flex::frozen_linear(x, w, precision))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::frozen_linear(x, w, precision)),
        }
    }
}
