//! Attention with every kind of mask and bias that the architectures have. Causal attention without a bias is fused; the
//! other kinds are composed.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::{Tensor, TensorData};
use inkstone_kernels::{AttentionShape, Precision};

use super::fused::Fused;
use super::{composed, is_cpu};

/// Which keys the queries see, and how scores are made. Query `t` of `t_total` stands at key position
/// `s − t_total + t`.
#[derive(Debug, Clone)]
pub struct Attention {
    /// Factor of the products of queries and keys.
    pub scale: f32,
    /// The first key that each query `[b, t]` sees: where its document begins, or its sliding window.
    pub starts: Arc<[u32]>,
    /// The last key that each query sees.
    pub mask: Mask,
    /// What is added to the scores.
    pub bias: Bias,
    /// Of the operands of the fused kernel's products.
    pub precision: Precision,
}

/// The last key that each query sees.
#[derive(Debug, Clone)]
pub enum Mask {
    /// Its own position.
    Causal,
    /// The last of the row.
    Full,
    /// The one before `ends[b, t]`: an encoder's padding or next document, a prefix that sees all of itself.
    Until(Arc<[u32]>),
}

/// What is added to the scores.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "one stands on the stack of a pass")]
pub enum Bias {
    /// Nothing.
    None,
    /// `−slopes[h]` for every position between query and key (`ALiBi`, arXiv:2108.12409, section 3).
    Alibi(Arc<[f32]>),
    /// These numbers, `[b or 1, h, t, s]`; they may have a gradient.
    Additive(Tensor<4>),
}

impl Attention {
    /// Causal, from `starts[b, t]` on, without a bias, in f32.
    pub fn causal(starts: Arc<[u32]>, scale: f32) -> Self {
        Self { scale, starts, mask: Mask::Causal, bias: Bias::None, precision: Precision::F32 }
    }

    /// Whether a fused kernel does it.
    pub(super) fn is_fused(&self) -> bool {
        matches!((&self.mask, &self.bias), (Mask::Causal, Bias::None))
    }
}

/// Grouped-query attention of `q[b, t, h, d]` over `k[b, s, g, d]` and `v[b, s, g, d]`, to `[b, t, h, d]`.
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, how: &Attention) -> Tensor<4> {
    if !how.is_fused() || !is_cpu(&q.device()) {
        return composed::attention(q, k, v, how);
    }
    let [q, k, v] = [q.into_dispatch(), k.into_dispatch(), v.into_dispatch()];
    Tensor::from_dispatch(<Dispatch as Fused>::attention(q, k, v, Arc::clone(&how.starts), (how.scale, how.precision)))
}

/// Adds the values of `x` to the end of a cache.
pub fn append(cache: &mut Vec<f32>, x: Tensor<4>) {
    crate::parameters::with_values(x, |values| cache.extend_from_slice(values));
}

/// [`attention`] of `q[1, t, h, d]` over cached keys and values `[s, g, d]`, without a graph.
pub fn attention_over(q: Tensor<4>, (k, v): (&[f32], &[f32]), kv_heads: usize, how: &Attention) -> Tensor<4> {
    let ([batch, queries, heads, head_dim], device) = (q.dims(), q.device());
    let keys = k.len() / (kv_heads * head_dim);
    if !how.is_fused() {
        let cached =
            |x: &[f32]| Tensor::from_data(TensorData::new(x.to_vec(), [batch, keys, kv_heads, head_dim]), &device);
        return composed::attention(q, cached(k), cached(v), how);
    }
    let (scale, precision) = (how.scale, how.precision);
    let shape = AttentionShape { batch, queries, keys, heads, kv_heads, head_dim, scale, precision };
    let mut out = vec![0.0; batch * queries * heads * head_dim];
    let mut lse = vec![0.0; batch * heads * queries];
    crate::parameters::with_values(q, |q| {
        inkstone_kernels::attention(&mut out, &mut lse, (q, k, v), &how.starts, shape);
    });
    Tensor::from_data(TensorData::new(out, [batch, queries, heads, head_dim]), &device)
}
