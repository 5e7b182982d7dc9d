//! GELU as an operation.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;
use inkstone_kernels::Gelu;

use super::buffers::Buffer;
use super::stored::{contiguous, values};
use super::{composed, gradients, is_cpu};

/// `gelu(x)` (arXiv:1606.08415, section 2).
pub fn gelu(x: Tensor<2>, form: Gelu) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        return composed::gelu(x, form);
    }
    Tensor::from_dispatch(<Dispatch as Fused>::gelu(x.into_dispatch(), form))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn gelu(x: FloatTensor<Self>, form: Gelu) -> FloatTensor<Self>;
}

impl Fused for Flex {
    fn gelu(x: FlexTensor, form: Gelu) -> FlexTensor {
        let x = contiguous(x);
        let mut y = Buffer::new(values(&x).len());
        kernels::gelu(&mut y, values(&x), form);
        y.into_tensor(x.shape().dims::<2>())
    }
}

#[derive(Debug)]
struct GeluBackward;

impl Backward<Flex, 1> for GeluBackward {
    type State = (FlexTensor, Gelu);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume(grads, &ops);
        let (x, form) = &ops.state;
        let mut dx = Buffer::new(values(x).len());
        kernels::gelu_backward(&mut dx, values(&dy), values(x), *form);
        gradients::register(grads, &ops, 0, dx.into_tensor(x.shape().dims::<2>()));
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn gelu(x: FloatTensor<Self>, form: Gelu) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let x = contiguous(x);
        match GeluBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::gelu(x.clone(), form);
                prep.finish((x, form), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::gelu(x, form)),
        }
    }
}
