//! The backward passes of the fused operations.

use std::sync::{Arc, Mutex};

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Flex, TensorMetadata};
use inkstone_kernels as kernels;
use inkstone_kernels::{AttentionGrads, AttentionSaved, Precision};

use super::RopeAngles;
use super::buffers::Buffer;
use super::fused::{self, Fused, Product};
use super::gradients;
use super::stored::{Stored, alike, compact, contiguous, kept, outline, stored, typed, values};

/// Whether a tensor will be handed a gradient.
pub(super) fn is_tracked<C: CheckpointStrategy>(tensor: &FloatTensor<Autodiff<Flex, C>>) -> bool {
    matches!(RopeBackward.prepare::<C>([tensor.node()]).compute_bound().stateful(), OpsKind::Tracked(_))
}

#[derive(Debug)]
struct LinearBackward;

impl Backward<Flex, 2> for LinearBackward {
    /// The input, or its outline for a weight that is not trained; the weight.
    type State = (FlexTensor, FlexTensor, Precision);

    /// The gradient of the input is kept in the form that the input has.
    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let (x, w, precision) = &ops.state;
        let shape = fused::linear_shape(x, w);
        if gradients::wanted(&ops, 0) {
            let sum = gradients::take(grads, &ops, 0);
            let dx = typed!(dy, M => input_gradient(sum, stored::<M>(&dy), (x, w), *precision));
            gradients::register(grads, &ops, 0, dx);
        }
        if gradients::wanted(&ops, 1) {
            let mut dw = Buffer::new(shape.outputs * shape.inputs);
            typed!(dy, M => typed!(x, N => {
                kernels::linear_grad_weight(&mut dw, stored::<M>(&dy), stored::<N>(x), shape, *precision);
            }));
            gradients::register(grads, &ops, 1, dw.into_tensor([shape.outputs, shape.inputs]));
        }
    }
}

/// The gradient of a product's input, added to `sum` where others found a part of it.
fn input_gradient<M: Stored>(
    sum: Option<FlexTensor>,
    dy: &[M],
    (x, w): (&FlexTensor, &FlexTensor),
    precision: Precision,
) -> FlexTensor {
    let shape = fused::linear_shape(x, w);
    if let Some(mut sum) = sum {
        typed!(sum, N => kernels::add_linear_grad_input(sum.storage_mut::<N>(), dy, values(w), shape, precision));
        return sum;
    }
    typed!(x, N => {
        let mut dx = Buffer::<N>::new(shape.rows * shape.inputs);
        kernels::linear_grad_input(&mut dx, dy, values(w), shape, precision);
        dx.into_shaped(x.shape())
    })
}

#[derive(Debug)]
struct EmbeddingBackward;

impl Backward<Flex, 1> for EmbeddingBackward {
    type State = ([usize; 2], Arc<[u32]>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume(grads, &ops);
        let ([rows, width], ids) = &ops.state;
        if gradients::wanted(&ops, 0) {
            let mut dtable = Buffer::new(rows * width);
            kernels::embedding_backward(&mut dtable, values(&dy), ids, *width);
            gradients::register(grads, &ops, 0, dtable.into_tensor([*rows, *width]));
        }
    }
}

#[derive(Debug)]
struct RmsNormBackward;

impl Backward<Flex, 2> for RmsNormBackward {
    /// The input, in the form that the output had; the weight; what is added to the mean square.
    type State = (FlexTensor, FlexTensor, f32);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let (x, weight, eps) = &ops.state;
        let (mut dx, mut dweight) = (Buffer::new(x.shape().num_elements()), Buffer::new(values(weight).len()));
        typed!(dy, N => typed!(x, M => {
            kernels::rms_norm_backward(&mut dx, &mut dweight, stored::<N>(&dy), stored::<M>(x), values(weight), *eps);
        }));
        gradients::register(grads, &ops, 0, dx.into_tensor(x.shape().dims::<2>()));
        gradients::register(grads, &ops, 1, dweight.into_tensor(weight.shape().dims::<1>()));
    }
}

#[derive(Debug)]
struct SwigluBackward;

impl Backward<Flex, 2> for SwigluBackward {
    type State = (FlexTensor, FlexTensor);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        let (gate, up) = &ops.state;
        let [mut dy, gate, up] = alike([dy, gate.clone(), up.clone()]);
        let size = gate.shape().num_elements();
        let [dgate, dup] = typed!(gate, N => {
            let (mut dgate, mut dup) = (Buffer::<N>::new(size), Buffer::<N>::new(size));
            let dy = dy.storage_mut::<N>();
            kernels::swiglu_backward((&mut dgate, &mut dup), dy, (stored(&gate), stored(&up)));
            [dgate, dup].map(|gradient| gradient.into_shaped(gate.shape()))
        });
        gradients::register(grads, &ops, 0, dgate);
        gradients::register(grads, &ops, 1, dup);
    }
}

#[derive(Debug)]
struct RopeBackward;

impl Backward<Flex, 1> for RopeBackward {
    type State = RopeAngles;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = gradients::consume_any(grads, &ops);
        gradients::register(grads, &ops, 0, fused::rotate(dy, &ops.state, true));
    }
}

/// What the backward pass of attention keeps.
#[derive(Debug, Clone)]
struct AttentionState {
    qkv: [FlexTensor; 3],
    out: FlexTensor,
    lse: Arc<[f32]>,
    starts: Arc<[u32]>,
    how: (f32, Precision),
}

#[derive(Debug)]
struct AttentionBackward;

impl Backward<Flex, 3> for AttentionBackward {
    type State = AttentionState;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = gradients::consume_any(grads, &ops);
        let AttentionState { qkv: [q, k, v], out, lse, starts, how } = &ops.state;
        let [dout, q, k, v, out] = alike([dout, q.clone(), k.clone(), v.clone(), out.clone()]);
        let shape = fused::attention_shape(&q, &k, *how);
        let found = typed!(q, N => {
            let [q, k, v, out] = [&q, &k, &v, &out].map(stored::<N>);
            let [mut dq, mut dk, mut dv] = [q, k, v].map(|x| Buffer::<N>::new(x.len()));
            let saved = AttentionSaved { q, k, v, out, lse, starts };
            let found = AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv };
            kernels::attention_backward(found, stored(&dout), saved, shape);
            let [b, t, s] = [shape.batch, shape.queries, shape.keys];
            let of = |length, heads| [b, length, heads, shape.head_dim];
            [dq.into_tensor(of(t, shape.heads)), dk.into_tensor(of(s, shape.kv_heads)), dv.into_tensor(of(s, shape.kv_heads))]
        });
        for (n, gradient) in found.into_iter().enumerate() {
            gradients::register(grads, &ops, n, gradient);
        }
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl Backward<Flex, 1> for CrossEntropyBackward {
    type State = (Option<FlexTensor>, Arc<[i32]>);

    /// The gradient takes the place of the logits, the largest tensor of a step, when nobody else holds them.
    fn backward(self, mut ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dmean = gradients::consume(grads, &ops);
        let Some(mut logits) = ops.state.0.take() else { return };
        let ([_, vocab], labels) = (logits.shape().dims(), &ops.state.1);
        let counted = labels.iter().filter(|&&label| label >= 0).count();
        let scale = values(&dmean)[0] / counted.max(1) as f32;
        kernels::cross_entropy_backward(logits.storage_mut(), labels, scale, vocab);
        gradients::register(grads, &ops, 0, logits);
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn linear(x: FloatTensor<Self>, w: FloatTensor<Self>, how: Product) -> FloatTensor<Self> {
        let trained = is_tracked::<C>(&w);
        let ((x, x_node), (w, w_node)) = (x.into_parts(), w.into_parts());
        let (x, w) = (compact(x), contiguous(w));
        match LinearBackward.prepare::<C>([x_node, w_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::linear(x.clone(), w.clone(), how);
                let x = if trained { x } else { outline(&x) };
                prep.finish((x, w, how.precision), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::linear(x, w, how)),
        }
    }

    fn embedding(table: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self> {
        let (table, node) = table.into_parts();
        match EmbeddingBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish((table.shape().dims(), Arc::clone(&ids)), Flex::embedding(table, ids))
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::embedding(table, ids)),
        }
    }

    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, how: (f32, Precision)) -> FloatTensor<Self> {
        let ((x, x_node), (weight, weight_node)) = (x.into_parts(), weight.into_parts());
        let (x, weight) = (contiguous(x), contiguous(weight));
        match RmsNormBackward.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::rms_norm(x.clone(), weight.clone(), how);
                prep.finish((kept(x, how.1), weight, how.0), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::rms_norm(x, weight, how)),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        let ((gate, gate_node), (up, up_node)) = (gate.into_parts(), up.into_parts());
        let [gate, up] = alike([gate, up]);
        match SwigluBackward.prepare::<C>([gate_node, up_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = Flex::swiglu(gate.clone(), up.clone());
                prep.finish((gate, up), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(Flex::swiglu(gate, up)),
        }
    }

    fn rope(x: FloatTensor<Self>, angles: RopeAngles) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        match RopeBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = fused::rotate(x, &angles, false);
                prep.finish(angles, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(fused::rotate(x, &angles, false)),
        }
    }

    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        starts: Arc<[u32]>,
        how: (f32, Precision),
    ) -> FloatTensor<Self> {
        let ((q, q_node), (k, k_node), (v, v_node)) = (q.into_parts(), k.into_parts(), v.into_parts());
        let qkv = alike([q, k, v]);
        let (out, lse) = fused::attention(&qkv, &starts, how);
        match AttentionBackward.prepare::<C>([q_node, k_node, v_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let state = AttentionState { qkv, out: out.clone(), lse: lse.into(), starts, how };
                prep.finish(state, out)
            }
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }

    fn cross_entropy(logits: FloatTensor<Self>, labels: Arc<[i32]>, losses: Arc<Mutex<Vec<f32>>>) -> FloatTensor<Self> {
        let (logits, node) = logits.into_parts();
        let logits = contiguous(logits);
        let mean = fused::cross_entropy(&logits, &labels, &losses);
        match CrossEntropyBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((Some(logits), labels), mean),
            OpsKind::UnTracked(prep) => prep.finish(mean),
        }
    }
}
