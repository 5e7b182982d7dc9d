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
use super::stored::{alike, compact, stored, typed};
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
        let x = compact(x);
        typed!(x, N => {
            let mut y = Buffer::<N>::new(x.shape().num_elements());
            kernels::gelu(&mut y, stored::<N>(&x), form);
            y.into_shaped(x.shape())
        })
    }
}

#[derive(Debug)]
struct GeluBackward;

impl Backward<Flex, 1> for GeluBackward {
    type State = (FlexTensor, Gelu);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let (x, form) = &ops.state;
        let [dy, x] = alike([dy, x.clone()]);
        let dx = typed!(x, N => {
            let mut dx = Buffer::<N>::new(x.shape().num_elements());
            kernels::gelu_backward(&mut dx, stored::<N>(&dy), stored::<N>(&x), *form);
            dx.into_shaped(x.shape())
        });
        gradients::register(grads, &ops, 0, dx);
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn gelu(x: FloatTensor<Self>, form: Gelu) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let x = compact(x);
        match GeluBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::gelu(x.clone(), form);
                prep.finish((x, form), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::gelu(x, form)),
        }
    }
}
