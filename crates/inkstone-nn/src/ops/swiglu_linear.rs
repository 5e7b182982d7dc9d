//! The second half of a gated feed-forward layer in one operation, which keeps its inputs alone.

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;
use inkstone_kernels::{LinearShape, Precision};

use super::buffers::Buffer;
use super::stored::{Stored, alike, contiguous, stored, typed, values};
use super::{composed, gradients, is_cpu};

/// `(silu(gate) · up) · wᵀ` of `gate[n, f]`, `up[n, f]` and `w[o, f]` (arXiv:2002.05202, equation 6). What goes into the product is
/// computed again in the backward pass, which costs less than it takes to keep it.
pub fn swiglu_linear(gate: Tensor<2>, up: Tensor<2>, w: Tensor<2>, precision: Precision) -> Tensor<2> {
    if !is_cpu(&gate.device()) {
        return composed::linear(composed::swiglu(gate, up), w);
    }
    let (gate, up, w) = (gate.into_dispatch(), up.into_dispatch(), w.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Fused>::swiglu_linear(gate, up, w, precision))
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn swiglu_linear(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        w: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;
}

fn shape(gate: &FlexTensor, w: &FlexTensor) -> LinearShape {
    let ([rows, inputs], [outputs, _]) = (gate.shape().dims(), w.shape().dims());
    LinearShape { rows, inputs, outputs }
}

impl Fused for Flex {
    fn swiglu_linear(gate: FlexTensor, up: FlexTensor, w: FlexTensor, precision: Precision) -> FlexTensor {
        let ([gate, up], w) = (alike([gate, up]), contiguous(w));
        let shape = shape(&gate, &w);
        let mut y = Buffer::<f32>::new(shape.rows * shape.outputs);
        typed!(gate, N => {
            let mut x = Buffer::<N>::new(shape.rows * shape.inputs);
            kernels::swiglu(&mut x, stored(&gate), stored(&up));
            kernels::linear(&mut y, &x, values(&w), shape, precision);
        });
        y.into_tensor([shape.rows, shape.outputs])
    }
}

#[derive(Debug)]
struct SwigluLinearBackward;

/// `gate`, `up`, `w`.
type Saved = ([FlexTensor; 3], Precision);

impl Backward<Flex, 3> for SwigluLinearBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let [dgate, dup, dw] = typed!(dy, M => typed!(ops.state.0[0], N => backward::<M, N>(stored(&dy), &ops.state, gradients::wanted(&ops, 2))));
        for (n, gradient) in [dgate, dup, dw].into_iter().enumerate() {
            if let Some(gradient) = gradient {
                gradients::register(grads, &ops, n, gradient);
            }
        }
    }
}

/// Gradients of `gate`, `up` and, where it is trained, `w`.
fn backward<M: Stored, N: Stored>(
    dy: &[M],
    ([gate, up, w], precision): &Saved,
    trained: bool,
) -> [Option<FlexTensor>; 3] {
    let shape = shape(gate, w);
    let size = shape.rows * shape.inputs;
    let [mut dgate, mut dup, mut x] = std::array::from_fn(|_| Buffer::<N>::new(size));
    kernels::linear_grad_input(&mut x, dy, values(w), shape, *precision);
    kernels::swiglu_backward((&mut dgate, &mut dup), &mut x, (stored(gate), stored(up)));
    let dw = trained.then(|| {
        let mut dw = Buffer::<f32>::new(shape.outputs * shape.inputs);
        kernels::linear_grad_weight(&mut dw, dy, &x, shape, *precision);
        dw.into_tensor([shape.outputs, shape.inputs])
    });
    let of = |gradient: Buffer<N>| Some(gradient.into_shaped(gate.shape()));
    [of(dgate), of(dup), dw]
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn swiglu_linear(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        w: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let ((gate, gate_node), (up, up_node), (w, w_node)) = (gate.into_parts(), up.into_parts(), w.into_parts());
        let ([gate, up], w) = (alike([gate, up]), contiguous(w));
        match SwigluLinearBackward.prepare::<C>([gate_node, up_node, w_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::swiglu_linear(gate.clone(), up.clone(), w.clone(), precision);
                prep.finish(([gate, up, w], precision), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::swiglu_linear(gate, up, w, precision)),
        }
    }
}
