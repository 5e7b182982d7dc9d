//! Causal attention over blocks of queries (FlashAttention, arXiv:2205.14135, in that scores are
//! never kept: memory is linear in the length), grouped-query (arXiv:2305.13245), confined to
//! the document of each query.
//!
//! Shapes: b batch, t query position, s key position, h query head, g key head, d head width.
//! Query `t` stands at key position `keys − queries + t` and sees the keys from `starts[b, t]` to it.

mod backward;
mod forward;
mod packed;
mod tile;

pub use backward::attention_backward;
pub use forward::attention;
pub use packed::{PackedAttentionSaved, packed_attention, packed_attention_backward};

use crate::profile::Work;
use crate::{Precision, expect_len};

/// Shape of an attention.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AttentionShape {
    /// Rows.
    pub batch: usize,
    /// Query positions.
    pub queries: usize,
    /// Key positions, at least as many.
    pub keys: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on the scores, usually `1/√d`.
    pub scale: f32,
    /// Of the operands of products; sums and exponentials are in f32.
    pub precision: Precision,
}

/// What the backward pass needs of the forward pass.
#[derive(Debug, Clone, Copy)]
pub struct AttentionSaved<'a, N> {
    /// Queries `[b, t, h, d]`.
    pub q: &'a [N],
    /// Keys `[b, s, g, d]`.
    pub k: &'a [N],
    /// Values `[b, s, g, d]`.
    pub v: &'a [N],
    /// Output `[b, t, h, d]`.
    pub out: &'a [N],
    /// Log of the sum of exponentials of the scores `[b, h, t]`.
    pub lse: &'a [f32],
    /// First visible key `[b, t]`.
    pub starts: &'a [u32],
}

/// Where the gradients go; the shapes are those of `q`, `k`, `v`.
#[derive(Debug)]
pub struct AttentionGrads<'a, N> {
    /// Gradient of the queries.
    pub dq: &'a mut [N],
    /// Gradient of the keys.
    pub dk: &'a mut [N],
    /// Gradient of the values.
    pub dv: &'a mut [N],
}

impl AttentionShape {
    fn q_row(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The work of so many products of queries and visible keys over the width of a head, half of all where both are of one length.
    fn work(&self, products: usize, bytes: usize) -> Work {
        let pairs = self.queries * (2 * self.keys - self.queries + 1) / 2;
        let flops = (2 * products * self.batch * self.heads * pairs * self.head_dim) as f64;
        Work { flops, precision: self.precision, bytes: bytes as f64 }
    }

    fn kv_row(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    #[track_caller]
    fn check<N>(&self, q: &[N], k: &[N], v: &[N], starts: &[u32]) {
        expect_len("q", q.len(), self.batch * self.queries * self.q_row());
        expect_len("k", k.len(), self.batch * self.keys * self.kv_row());
        expect_len("v", v.len(), k.len());
        self.check_starts(starts);
    }

    #[track_caller]
    fn check_starts(&self, starts: &[u32]) {
        assert!(self.queries <= self.keys, "{} queries have only {} keys", self.queries, self.keys);
        assert!(
            self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads),
            "{} heads over {} key heads",
            self.heads,
            self.kv_heads
        );
        expect_len("starts", starts.len(), self.batch * self.queries);
        let offset = self.keys - self.queries;
        let past = starts.iter().enumerate().find(|&(n, &start)| start as usize > offset + n % self.queries);
        assert!(past.is_none(), "starts: (position, first key) = {past:?} lies after the query");
    }
}
