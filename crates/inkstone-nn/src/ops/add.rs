//! The sum with a residual stream, as an operation.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;

use super::buffers::Buffer;
use super::stored::{contiguous, values};
use super::{gradients, is_cpu};

/// `x[n, e] + y[n, e]`.
pub fn add(x: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        return x + y;
    }
    Tensor::from_dispatch(<Dispatch as Fused>::add(x.into_dispatch(), y.into_dispatch()))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;
}

impl Fused for Flex {
    fn add(x: FlexTensor, y: FlexTensor) -> FlexTensor {
        let (x, y) = (contiguous(x), contiguous(y));
        let mut sum = Buffer::new(values(&x).len());
        kernels::add(&mut sum, values(&x), values(&y));
        sum.into_tensor(x.shape().dims::<2>())
    }
}

#[derive(Debug)]
struct AddBackward;

impl Backward<Flex, 2> for AddBackward {
    type State = ();

    fn backward(self, ops: Ops<(), 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume(grads, &ops);
        gradients::register(grads, &ops, 0, dy.clone());
        gradients::register(grads, &ops, 1, dy);
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn add(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((x, x_node), (y, y_node)) = (x.into_parts(), y.into_parts());
        let sum = Flex::add(x, y);
        match AddBackward.prepare::<C>([x_node, y_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((), sum),
            OpsKind::UnTracked(prep) => prep.finish(sum),
        }
    }
}
