//! The product with a weight that is stored inputs first, as GPT-1 and GPT-2 store theirs ("`Conv1D`").
//!
//! Read the other way round, such a weight is that of a linear layer from the outputs to the inputs, so each of the three
//! products is one of that layer's.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;
use inkstone_kernels::{LinearShape, Precision};

use super::backward::is_tracked;
use super::buffers::Buffer;
use super::fused::Product;
use super::stored::{compact, contiguous, outline, stored, typed, values};
use super::{composed, gradients, is_cpu};

/// `y[n, o] = x[n, i] · w[i, o]`, kept in f32.
pub fn conv1d(x: Tensor<2>, w: Tensor<2>, precision: Precision) -> Tensor<2> {
    conv1d_to(x, w, precision, Precision::F32)
}

/// [`conv1d`], kept in `output`.
pub fn conv1d_to(x: Tensor<2>, w: Tensor<2>, precision: Precision, output: Precision) -> Tensor<2> {
    if !is_cpu(&x.device()) {
        return composed::conv1d(x, w);
    }
    let how = Product { precision, output };
    Tensor::from_dispatch(<Dispatch as Fused>::conv1d(x.into_dispatch(), w.into_dispatch(), how))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn conv1d(x: FloatTensor<Self>, w: FloatTensor<Self>, how: Product) -> FloatTensor<Self>;
}

/// The linear layer that has `w` as its weight `[outputs, inputs]`: its outputs are our inputs.
fn reversed(x: &FlexTensor, w: &FlexTensor) -> LinearShape {
    let ([rows, _], [outputs, inputs]) = (x.shape().dims(), w.shape().dims());
    LinearShape { rows, inputs, outputs }
}

impl Fused for Flex {
    fn conv1d(x: FlexTensor, w: FlexTensor, how: Product) -> FlexTensor {
        let (x, w) = (compact(x), contiguous(w));
        let shape = reversed(&x, &w);
        typed!(how.output, M => {
            let mut y = Buffer::<M>::new(shape.rows * shape.inputs);
            typed!(x, N => kernels::linear_grad_input(&mut y, stored::<N>(&x), values(&w), shape, how.precision));
            y.into_tensor([shape.rows, shape.inputs])
        })
    }
}

#[derive(Debug)]
struct Conv1dBackward;

impl Backward<Flex, 2> for Conv1dBackward {
    /// The input, or its outline for a weight that is not trained; the weight.
    type State = (FlexTensor, FlexTensor, Precision);

    /// The gradient of the input is kept in the form that the input has.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let (x, w, precision) = &ops.state;
        let shape = reversed(x, w);
        if gradients::wanted(&ops, 0) {
            let dx = typed!(x, N => {
                let mut dx = Buffer::<N>::new(shape.rows * shape.outputs);
                typed!(dy, M => kernels::linear(&mut dx, stored::<M>(&dy), values(w), shape, *precision));
                dx.into_shaped(x.shape())
            });
            gradients::register(grads, &ops, 0, dx);
        }
        if gradients::wanted(&ops, 1) {
            let mut dw = Buffer::new(values(w).len());
            typed!(x, N => typed!(dy, M => {
                kernels::linear_grad_weight(&mut dw, stored::<N>(x), stored::<M>(&dy), shape, *precision);
            }));
            gradients::register(grads, &ops, 1, dw.into_tensor(w.shape().dims::<2>()));
        }
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn conv1d(x: FloatTensor<Self>, w: FloatTensor<Self>, how: Product) -> FloatTensor<Self> {
        let trained = is_tracked::<C>(&w);
        let ((x, x_node), (w, w_node)) = (x.into_parts(), w.into_parts());
        let (x, w) = (compact(x), contiguous(w));
        match Conv1dBackward.prepare::<C>([x_node, w_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::conv1d(x.clone(), w.clone(), how);
                let x = if trained { x } else { outline(&x) };
                prep.finish((x, w, how.precision), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::conv1d(x, w, how)),
        }
    }
}
