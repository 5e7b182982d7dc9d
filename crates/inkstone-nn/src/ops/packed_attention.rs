//! Attention over queries, keys and values that one product wrote side by side, rotated in place.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use burn::tensor::Tensor;
use inkstone_kernels as kernels;
use inkstone_kernels::{AttentionShape, PackedAttentionSaved, Precision, RopeShape};

use super::buffers::Buffer;
use super::stored::{alike, compact, stored, typed};
use super::{Attention, RopeAngles, attention, gradients, is_cpu, rope};

/// How rows are made of heads.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    /// Sequences (b).
    pub batch: usize,
    /// Of queries (h).
    pub queries: usize,
    /// Of keys, and of values (g).
    pub keys: usize,
}

/// Attention over `qkv[b·t, (h + 2g)·d]`, whose queries stand before their keys, and these before their values, to `[b·t, h·d]`; queries and keys
/// turned by the angles, where there are any.
pub fn packed_attention(qkv: Tensor<2>, heads: Heads, angles: Option<&RopeAngles>, how: &Attention) -> Tensor<2> {
    if !how.is_fused() || !is_cpu(&qkv.device()) {
        let [q, k, v] = split_heads(qkv, heads, angles);
        let [b, t, h, d] = q.dims();
        return attention(q, k, v, how).reshape([b * t, h * d]);
    }
    let (scale, precision) = (how.scale, how.precision);
    let how = How { heads, angles: angles.cloned(), starts: Arc::clone(&how.starts), scale, precision };
    Tensor::from_dispatch(<Dispatch as Fused>::packed_attention(qkv.into_dispatch(), how))
}

/// `[b·t, (h + 2g)·d]` to queries `[b, t, h, d]` and keys and values `[b, t, g, d]`; queries and keys turned by the angles, where there are any.
#[expect(clippy::needless_pass_by_value, reason = "tensors are handed on")]
pub fn split_heads(qkv: Tensor<2>, heads: Heads, angles: Option<&RopeAngles>) -> [Tensor<4>; 3] {
    let Heads { batch, queries, keys } = heads;
    let [n, width] = qkv.dims();
    let d = width / (queries + 2 * keys).max(1);
    let [q, k, v] = [(0, queries), (queries, keys), (queries + keys, keys)].map(|(first, heads)| {
        let part = qkv.clone().slice([0..n, first * d..(first + heads) * d]);
        part.reshape([batch, n / batch.max(1), heads, d])
    });
    match angles {
        Some(angles) => [rope(q, angles), rope(k, angles), v],
        None => [q, k, v],
    }
}

/// What the operation takes beside its tensor.
#[derive(Debug, Clone)]
struct How {
    heads: Heads,
    angles: Option<RopeAngles>,
    starts: Arc<[u32]>,
    scale: f32,
    precision: Precision,
}

#[backend_extension(Flex, Autodiff)]
trait Fused: Backend {
    fn packed_attention(qkv: FloatTensor<Self>, how: How) -> FloatTensor<Self>;
}

impl How {
    fn shape(&self, qkv: &FlexTensor) -> AttentionShape {
        let Heads { batch, queries: heads, keys: kv_heads } = self.heads;
        let ([n, width], scale, precision) = (qkv.shape().dims(), self.scale, self.precision);
        let (length, head_dim) = (n / batch.max(1), width / (heads + 2 * kv_heads).max(1));
        AttentionShape { batch, queries: length, keys: length, heads, kv_heads, head_dim, scale, precision }
    }

    /// Turns queries and keys, or turns them back; in their own buffer when nobody else holds it.
    fn turn(&self, mut qkv: FlexTensor, back: bool) -> FlexTensor {
        let Some(angles) = &self.angles else { return qkv };
        let AttentionShape { batch, queries: length, heads, kv_heads, head_dim, .. } = self.shape(&qkv);
        let row = (heads + 2 * kv_heads) * head_dim;
        let shape = RopeShape { batch, length, heads: heads + kv_heads, head_dim, row };
        typed!(qkv, N => kernels::rope(qkv.storage_mut::<N>(), &angles.cos, &angles.sin, shape, back));
        qkv
    }

    /// The output of what was turned, and the log-sum-exp of its scores.
    fn attend(&self, qkv: &FlexTensor) -> (FlexTensor, Vec<f32>) {
        let shape = self.shape(qkv);
        let rows = shape.batch * shape.queries;
        let mut lse = vec![0.0; rows * shape.heads];
        let out = typed!(qkv, N => {
            let mut out = Buffer::<N>::new(rows * shape.heads * shape.head_dim);
            kernels::packed_attention(&mut out, &mut lse, stored::<N>(qkv), &self.starts, shape);
            out.into_tensor([rows, shape.heads * shape.head_dim])
        });
        (out, lse)
    }
}

impl Fused for Flex {
    fn packed_attention(qkv: FlexTensor, how: How) -> FlexTensor {
        how.attend(&how.turn(compact(qkv), false)).0
    }
}

/// What the backward pass keeps.
#[derive(Debug, Clone)]
struct Saved {
    /// Turned.
    qkv: FlexTensor,
    out: FlexTensor,
    lse: Arc<[f32]>,
    how: How,
}

#[derive(Debug)]
struct PackedAttentionBackward;

impl Backward<Flex, 1> for PackedAttentionBackward {
    type State = Saved;

    fn backward(self, ops: Ops<Saved, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dout = gradients::consume_any(grads, &ops);
        let Saved { qkv, out, lse, how } = &ops.state;
        let [dout, qkv, out] = alike([dout, qkv.clone(), out.clone()]);
        let dqkv = typed!(qkv, N => {
            let mut dqkv = Buffer::<N>::new(qkv.shape().num_elements());
            let saved = PackedAttentionSaved { qkv: stored::<N>(&qkv), out: stored(&out), lse, starts: &how.starts };
            kernels::packed_attention_backward(&mut dqkv, stored(&dout), saved, how.shape(&qkv));
            dqkv.into_shaped(qkv.shape())
        });
        gradients::register(grads, &ops, 0, how.turn(dqkv, true));
    }
}

impl<C: CheckpointStrategy> Fused for Autodiff<Flex, C> {
    fn packed_attention(qkv: FloatTensor<Self>, how: How) -> FloatTensor<Self> {
        let (qkv, node) = qkv.into_parts();
        let qkv = how.turn(compact(qkv), false);
        let (out, lse) = how.attend(&qkv);
        match PackedAttentionBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(Saved { qkv, out: out.clone(), lse: lse.into(), how }, out),
            OpsKind::UnTracked(prep) => prep.finish(out),
        }
    }
}
