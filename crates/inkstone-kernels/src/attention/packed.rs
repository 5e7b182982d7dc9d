//! Attention over queries, keys and values that one product wrote side by side.

use super::AttentionShape;
use super::backward::{Backward, Targets, backward};
use super::forward::forward;
use super::tile::Inputs;
use crate::expect_len;
use crate::number::Number;
use crate::product::ViewMut;
use crate::profile::span;

/// What the backward pass needs of the forward pass.
#[derive(Debug, Clone, Copy)]
pub struct PackedAttentionSaved<'a, N> {
    /// Queries, keys and values of each position `[b, t, (h + 2g)·d]`.
    pub qkv: &'a [N],
    /// Output `[b, t, h, d]`.
    pub out: &'a [N],
    /// Log of the sum of exponentials of the scores `[b, h, t]`.
    pub lse: &'a [f32],
    /// First visible key `[b, t]`.
    pub starts: &'a [u32],
}

/// [`attention`](super::attention) of positions `[b, t, (h + 2g)·d]`, whose queries stand before their keys, and these before their values.
///
/// # Panics
/// If a slice does not have the length that `shape` says, there are not as many keys as queries, or `starts` points past its query.
pub fn packed_attention<N: Number>(out: &mut [N], lse: &mut [f32], qkv: &[N], starts: &[u32], shape: AttentionShape) {
    shape.check_packed(qkv, starts);
    expect_len("out", out.len(), shape.batch * shape.queries * shape.q_row());
    expect_len("lse", lse.len(), shape.batch * shape.heads * shape.queries);
    let bytes = size_of_val(out) + size_of_val(qkv);
    let _span = span("attention", || shape.work(2, bytes));
    let to = (ViewMut::rows(out, shape.q_row()), ViewMut::rows(lse, shape.queries));
    // SAFETY: the lengths were checked, and the outputs are borrowed alone.
    unsafe { forward(&Inputs::packed(qkv, starts, shape), to) };
}

/// The gradient of [`packed_attention`] given that of its output, `[b, t, (h + 2g)·d]`.
///
/// # Panics
/// As [`packed_attention`].
pub fn packed_attention_backward<N: Number>(
    dqkv: &mut [N],
    dout: &[N],
    saved: PackedAttentionSaved<'_, N>,
    shape: AttentionShape,
) {
    let PackedAttentionSaved { qkv, out, lse, starts } = saved;
    shape.check_packed(qkv, starts);
    expect_len("dqkv", dqkv.len(), qkv.len());
    expect_len("out", out.len(), shape.batch * shape.queries * shape.q_row());
    expect_len("dout", dout.len(), out.len());
    expect_len("lse", lse.len(), shape.batch * shape.heads * shape.queries);
    let bytes = 2 * (size_of_val(out) + size_of_val(qkv));
    let _span = span("attention, gradient", || shape.work(5, bytes));
    let dq = ViewMut::rows(dqkv, shape.packed_row());
    let [dk, dv] = shape.packed_columns().map(|column| dq.at(0, column));
    // SAFETY: the lengths were checked, the gradient is borrowed alone, and its three parts share no column.
    unsafe {
        backward(&Inputs::packed(qkv, starts, shape), &Backward { dout, out, lse }, Targets { dq, dk, dv });
    }
}

impl AttentionShape {
    /// Elements of a position.
    pub(super) fn packed_row(&self) -> usize {
        self.q_row() + 2 * self.kv_row()
    }

    /// The first column of the keys, and of the values.
    pub(super) fn packed_columns(&self) -> [usize; 2] {
        [self.q_row(), self.q_row() + self.kv_row()]
    }

    #[track_caller]
    fn check_packed<N>(&self, qkv: &[N], starts: &[u32]) {
        assert!(self.queries == self.keys, "{} queries and {} keys", self.queries, self.keys);
        expect_len("qkv", qkv.len(), self.batch * self.queries * self.packed_row());
        self.check_starts(starts);
    }
}
