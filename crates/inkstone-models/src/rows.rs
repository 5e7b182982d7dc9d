//! Where the tokens of a pass stand, and attention over them, with a cache or without.

use std::sync::Arc;

use burn::tensor::Tensor;
use inkstone_nn::ops::{self, Attention, Heads, Mask, RopeAngles};

use crate::pass::{Keys, LayerCache, Pass, Source};

/// The rows of a pass: `batch` of `length` tokens, after `first` that the cache holds.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) batch: usize,
    pub(crate) length: usize,
    pub(crate) first: usize,
    /// For each token the first key that it may see.
    pub(crate) starts: Arc<[u32]>,
    /// For each token the end of the keys that it may see; none: that of the row, or the token itself.
    ends: Option<Arc<[u32]>>,
    /// The position of each token in its sequence, where they do not follow one another.
    scattered: Option<Arc<[u32]>>,
}

impl Rows {
    pub(crate) fn new(n_ids: usize, batch: usize, pass: &Pass<'_>) -> Self {
        Self {
            batch,
            length: n_ids / batch.max(1),
            first: pass.cache.as_ref().map_or(0, |cache| cache.len()),
            starts: pass.starts.map_or_else(|| vec![0; n_ids].into(), Arc::from),
            ends: pass.ends.map(Arc::from),
            scattered: pass.store.as_ref().map(|store| Arc::from(store.positions())),
        }
    }

    /// The rows of an encoder's source.
    pub(crate) fn source(source: &Source<'_>, batch: usize) -> Self {
        let (n, length) = (source.ids.len(), source.ids.len() / batch.max(1));
        let ends = |lengths: &[u32]| (0..n).map(|n| lengths[n / length]).collect();
        Self { batch, length, first: 0, starts: vec![0; n].into(), ends: source.lengths.map(ends), scattered: None }
    }

    /// Attention to everything of the document, scaled by the root of the head's width.
    pub(crate) fn both_ways(&self, head_width: usize) -> Attention {
        let mask = self.ends.clone().map_or(Mask::Full, Mask::Until);
        Attention { mask, ..self.causal(head_width) }
    }

    /// The position of each token in its document, from 0.
    pub(crate) fn positions(&self) -> Arc<[u32]> {
        if let Some(positions) = &self.scattered {
            return Arc::clone(positions);
        }
        let position = |(n, &start): (usize, &u32)| (self.first + n % self.length) as u32 - start;
        self.starts.iter().enumerate().map(position).collect()
    }

    /// The rotary angles of the tokens, given those from one position to the next.
    pub(crate) fn angles(&self, frequencies: &[f32]) -> RopeAngles {
        match &self.scattered {
            Some(positions) => RopeAngles::at(positions, frequencies),
            None => RopeAngles::of(self.first, self.length, frequencies),
        }
    }

    /// Attention to everything before, and to a prefix that sees all of itself, scaled by the root of the head's width.
    pub(crate) fn causal(&self, head_width: usize) -> Attention {
        let mask = self.ends.clone().map_or(Mask::Causal, Mask::Until);
        Attention { mask, ..Attention::causal(Arc::clone(&self.starts), 1.0 / (head_width as f32).sqrt()) }
    }

    /// [`Self::causal`] to no more than `window` tokens, the own one included (arXiv:2310.06825, section 2).
    pub(crate) fn sliding(&self, head_width: usize, window: usize) -> Attention {
        let place = |n: usize| match &self.scattered {
            Some(positions) => positions[n] as usize,
            None => self.first + n % self.length,
        };
        let start = |(n, &start): (usize, &u32)| start.max((place(n) + 1).saturating_sub(window) as u32);
        let starts: Arc<[u32]> = self.starts.iter().enumerate().map(start).collect();
        Attention { starts, ..self.causal(head_width) }
    }
}

/// Attention of `q[b, t, h, d]` over `k[b, t, g, d]` and `v[b, t, g, d]`, and over those that the cache holds, to
/// `[n, h·d]`.
pub(crate) fn attend(
    q_bthd: Tensor<4>,
    (k_btgd, v_btgd): (Tensor<4>, Tensor<4>),
    how: &Attention,
    cache: Option<Keys<'_>>,
) -> Tensor<2> {
    let ([b, t, h, d], [_, _, g, _]) = (q_bthd.dims(), k_btgd.dims());
    let out_bthd = match cache {
        None => ops::attention(q_bthd, k_btgd, v_btgd, how),
        Some(Keys::Stored(store, layer)) => store.attend(layer, q_bthd, (k_btgd, v_btgd), how),
        Some(Keys::Cached(cache)) => {
            ops::append(&mut cache.k, k_btgd);
            ops::append(&mut cache.v, v_btgd);
            ops::attention_over(q_bthd, (&cache.k, &cache.v), g, how)
        }
    };
    out_bthd.reshape([b * t, h * d])
}

/// What an encoder-decoder reads, as the decoder sees it.
pub(crate) struct Memory {
    /// `[b·s, e]`
    pub(crate) x_me: Tensor<2>,
    pub(crate) rows: Rows,
    pub(crate) mask: Mask,
}

impl Memory {
    /// The keys of the source that each of `t` queries of a row sees.
    fn mask(&self, t: usize) -> Mask {
        let Mask::Until(ends) = &self.mask else { return Mask::Full };
        Mask::Until((0..self.rows.batch * t).map(|n| ends[n / t * self.rows.length]).collect())
    }
}

/// Attention of `q[b, t, h, d]` over the keys and values of a source, which a cache keeps, to `[n, h·d]`; nothing without a source.
pub(crate) fn attend_source(
    q_bthd: Tensor<4>,
    source: Option<(Tensor<4>, Tensor<4>, &Memory)>,
    scale: f32,
    cache: Option<&mut LayerCache>,
) -> Option<Tensor<2>> {
    let [b, t, h, d] = q_bthd.dims();
    let how = |mask| Attention { mask, ..Attention::causal(vec![0; b * t].into(), scale) };
    let out_bthd = match (cache, source) {
        (None, Some((k_bshd, v_bshd, memory))) => ops::attention(q_bthd, k_bshd, v_bshd, &how(memory.mask(t))),
        (Some(cache), source) => {
            if let Some((k_bshd, v_bshd, _)) = source {
                let cross = cache.cross.insert((Vec::new(), Vec::new()));
                ops::append(&mut cross.0, k_bshd);
                ops::append(&mut cross.1, v_bshd);
            }
            let (k, v) = cache.cross.as_ref()?;
            ops::attention_over(q_bthd, (k, v), h, &how(Mask::Full))
        }
        (None, None) => return None,
    };
    Some(out_bthd.reshape([b * t, h * d]))
}

/// `[n, h·d]` to `[b, t, h, d]`.
pub(crate) fn heads_of(x: Tensor<2>, rows: &Rows, heads: usize) -> Tensor<4> {
    let [_, width] = x.dims();
    x.reshape([rows.batch, rows.length, heads, width / heads])
}

/// [`attend`] over queries, keys and values side by side, `qkv[n, (h + 2g)·d]` with `[h, g]` heads, of which queries and keys are turned by the
/// angles first, where there are any.
pub(crate) fn attend_packed(
    qkv: Tensor<2>,
    (rows, [queries, keys]): (&Rows, [usize; 2]),
    (how, angles): (&Attention, Option<&RopeAngles>),
    cache: Option<Keys<'_>>,
) -> Tensor<2> {
    let heads = Heads { batch: rows.batch, queries, keys };
    if cache.is_none() {
        return ops::packed_attention(qkv, heads, angles, how);
    }
    let [q_bthd, k_btgd, v_btgd] = ops::split_heads(qkv, heads, angles);
    attend(q_bthd, (k_btgd, v_btgd), how, cache)
}

/// The slopes of `ALiBi` (arXiv:2108.12409, section 3): for a power of two of heads, a geometric sequence from `2^(−8/h)`
/// with that ratio; for other numbers those of the next lower power, and then every other one of the next higher.
pub(crate) fn alibi_slopes(heads: usize) -> Arc<[f32]> {
    let lower = 1_usize << heads.max(1).ilog2();
    let slope = |of: usize, power: usize| 2.0_f64.powf(-8.0 * power as f64 / of as f64) as f32;
    let others = (1..).step_by(2).map(|power| slope(2 * lower, power));
    (1..=lower).map(|power| slope(lower, power)).chain(others).take(heads).collect()
}
