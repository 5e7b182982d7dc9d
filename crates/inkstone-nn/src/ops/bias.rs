//! A row added to every row, as an operation.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;

use super::buffers::Buffer;
use super::stored::{compact, contiguous, stored, typed, values};
use super::{composed, gradients, is_cpu};

/// `y[n, :] = x[n, :] + bias`.
pub fn add_bias(x: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        return composed::add_bias(x, bias);
    }
    Tensor::from_dispatch(<Dispatch as Fused>::add_bias(x.into_dispatch(), bias.into_dispatch()))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Fused for Flex {
    /// In the buffer of `x` when nobody else holds it.
    fn add_bias(x: FlexTensor, bias: FlexTensor) -> FlexTensor {
        let (mut x, bias) = (compact(x), contiguous(bias));
        typed!(x, N => kernels::add_bias(x.storage_mut::<N>(), values(&bias)));
        x
    }
}

#[derive(Debug)]
struct BiasBackward;

impl Backward<Flex, 2> for BiasBackward {
    type State = usize;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        if gradients::wanted(&ops, 1) {
            let mut dbias = Buffer::new(ops.state);
            typed!(dy, N => kernels::add_bias_backward(&mut dbias, stored::<N>(&dy)));
            gradients::register(grads, &ops, 1, dbias.into_tensor([ops.state]));
        }
        gradients::register(grads, &ops, 0, dy);
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn add_bias(x: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (bias, bias_node)) = (x.into_parts(), bias.into_parts());
        let [width] = bias.shape().dims();
        let y = Flex::add_bias(x, bias);
        match BiasBackward.prepare::<C>([x_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(width, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
