//! Layer normalisation as an operation.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;
use inkstone_kernels::{LayerNormGrads, Precision};

use super::buffers::Buffer;
use super::stored::{contiguous, kept, stored, typed, values};
use super::{composed, gradients, is_cpu};

/// `y[n, :] = (x[n, :] − mean) / √(variance + eps) · weight + bias` (arXiv:1607.06450, section 3), kept in f32.
pub fn layer_norm(x: Tensor<2>, affine: (Tensor<1>, Tensor<1>), eps: f32) -> Tensor<2> {
    layer_norm_to(x, affine, eps, Precision::F32)
}

/// [`layer_norm`], kept in `output`.
pub fn layer_norm_to(x: Tensor<2>, (weight, bias): (Tensor<1>, Tensor<1>), eps: f32, output: Precision) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        return composed::layer_norm(x, (weight, bias), eps);
    }
    let [x, weight, bias] = [x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch()];
    Tensor::from_dispatch(<Dispatch as Fused>::layer_norm(x, weight, bias, (eps, output)))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        how: (f32, Precision),
    ) -> FloatTensor<Self>;
}

impl Fused for Flex {
    fn layer_norm(x: FlexTensor, weight: FlexTensor, bias: FlexTensor, (eps, output): (f32, Precision)) -> FlexTensor {
        let [x, weight, bias] = [x, weight, bias].map(contiguous);
        typed!(output, N => {
            let mut y = Buffer::<N>::new(values(&x).len());
            kernels::layer_norm(&mut y, values(&x), (values(&weight), values(&bias)), eps);
            y.into_shaped(x.shape())
        })
    }
}

#[derive(Debug)]
struct LayerNormBackward;

impl Backward<Flex, 3> for LayerNormBackward {
    /// The input, in the form that the output had; the weight; what is added to the variance.
    type State = (FlexTensor, FlexTensor, f32);

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let (x, weight, eps) = &ops.state;
        let (mut dx, width) = (Buffer::new(x.shape().num_elements()), values(weight).len());
        let [mut dweight, mut dbias] = [Buffer::new(width), Buffer::new(width)];
        let into = LayerNormGrads { dx: &mut dx, dweight: &mut dweight, dbias: &mut dbias };
        typed!(dy, N => typed!(x, M => {
            kernels::layer_norm_backward(into, stored::<N>(&dy), stored::<M>(x), values(weight), *eps);
        }));
        gradients::register(grads, &ops, 0, dx.into_tensor(x.shape().dims::<2>()));
        gradients::register(grads, &ops, 1, dweight.into_tensor([width]));
        gradients::register(grads, &ops, 2, dbias.into_tensor([width]));
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn layer_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        how: (f32, Precision),
    ) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node), (bias, bias_node)) =
            (x.into_parts(), weight.into_parts(), bias.into_parts());
        let [x, weight] = [x, weight].map(contiguous);
        let y = Flex::layer_norm(x.clone(), weight.clone(), bias, how);
        match LayerNormBackward.prepare::<C>([x_node, weight_node, bias_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((kept(x, how.1), weight, how.0), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }
}
