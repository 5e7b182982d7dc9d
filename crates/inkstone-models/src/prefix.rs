//! Keys and values that stand before those of every document and are learnt (prefix tuning, arXiv:2101.00190, section 4).
//!
//! Shapes: p positions of the prefix, b batch, t positions of a row, n = b·t, s positions of a row with its prefixes, h query
//! heads, g key heads, d head width.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::tensor::{Device, FloatDType, Tensor};
use inkstone_nn::ops::{self, Attention, Mask};
use inkstone_nn::parameter;

use crate::architecture::Dimensions;
use crate::pass::{Cache, Pass, Store};
use crate::virtual_tokens::{Before, Expanded};

/// The learnt keys and values of every block. Keys are not turned by rotary positions: they are learnt as they are attended to.
#[derive(Module, Debug)]
pub(crate) struct Prefix {
    /// `[p, layers·2·g·d]`: for each block keys, then values, as the PEFT library has them.
    prompt_embeddings: Param<Tensor<2>>,
    /// g·d.
    #[module(skip)]
    row: usize,
    /// p.
    #[module(skip)]
    tokens: usize,
}

impl Prefix {
    /// `values` for a model of the given sizes.
    pub(crate) fn new(values: Vec<f32>, tokens: usize, sizes: &Dimensions, device: &Device) -> Self {
        let row = sizes.key_heads * sizes.head_width;
        Self { prompt_embeddings: parameter(values, [tokens, sizes.layers * 2 * row], device), row, tokens }
    }

    /// The keys (0) or values (1) of block `layer`, `[p, g·d]`.
    fn part(&self, layer: usize, which: usize) -> Tensor<2> {
        let from = (2 * layer + which) * self.row;
        self.prompt_embeddings.val().slice([0..self.tokens, from..from + self.row])
    }

    /// Puts it where the keys and values of a sequence begin.
    pub(crate) fn fill(&self, cache: &mut Cache, layers: usize) {
        for n in 0..layers {
            let part = |which: usize| self.part(n, which).reshape([1, self.tokens, 1, self.row]);
            ops::append(&mut cache.layer(n).k, part(0));
            ops::append(&mut cache.layer(n).v, part(1));
        }
    }
}

/// Attention of the tokens of a batch, which a model takes for one row, over their documents with the prefix before each.
pub(crate) struct Prefixed<'a> {
    prefix: &'a Prefix,
    batch: usize,
    /// The position of each token in its document, from p.
    positions: Vec<u32>,
    /// For each of the b·s positions which of the n tokens stands there, or which of the prefix's positions, counted on from n.
    slots: Arc<[u32]>,
    /// The first position that each of them sees, in its row.
    starts: Vec<u32>,
    /// The end of what each sees, where it is not its own.
    ends: Option<Arc<[u32]>>,
    /// Where the tokens are among them.
    real: Arc<[u32]>,
}

impl<'a> Prefixed<'a> {
    /// For `n` tokens in `batch` rows; documents and prefixes that see themselves are those of `pass`.
    pub(crate) fn new(prefix: &'a Prefix, (n, batch): (usize, usize), pass: &Pass<'_>) -> Self {
        let rows: Vec<u32> = (0..n as u32).collect();
        let all = Expanded::new(&rows, batch, Before { count: prefix.tokens, first: n }, pass);
        let width = all.ids.len() / batch.max(1);
        let place = |&at: &u32| at % width.max(1) as u32 - all.starts[at as usize];
        Self {
            prefix,
            batch,
            positions: all.real.iter().map(place).collect(),
            slots: all.ids.into(),
            starts: all.starts,
            ends: all.ends.map(Arc::from),
            real: all.real,
        }
    }

    /// How the positions of all rows attend, where the tokens alone do as in `how`: those may see less than their document.
    fn how(&self, how: &Attention) -> Attention {
        let mut starts = self.starts.clone();
        for (&at, &start) in self.real.iter().zip(&*how.starts) {
            starts[at as usize] += start;
        }
        let mask = self.ends.as_ref().map_or_else(|| how.mask.clone(), |ends| Mask::Until(Arc::clone(ends)));
        Attention { starts: starts.into(), mask, ..how.clone() }
    }
}

impl Store for Prefixed<'_> {
    fn positions(&self) -> &[u32] {
        &self.positions
    }

    fn attend(
        &mut self,
        layer: usize,
        q_1nhd: Tensor<4>,
        (k_1ngd, v_1ngd): (Tensor<4>, Tensor<4>),
        how: &Attention,
    ) -> Tensor<4> {
        let ([_, n, h, d], [_, _, g, _]) = (q_1nhd.dims(), k_1ngd.dims());
        let s = self.slots.len() / self.batch.max(1);
        let flat = |x: Tensor<4>, width: usize| x.reshape([n, width]).cast(FloatDType::F32);
        let with_prefix = |x: Tensor<4>, which: usize| {
            let all = Tensor::cat(vec![flat(x, g * d), self.prefix.part(layer, which)], 0);
            ops::embedding(all, Arc::clone(&self.slots)).reshape([self.batch, s, g, d])
        };
        // What stands in the prefix's place asks nothing: its answers are left out.
        let asking = self.slots.iter().map(|&slot| if (slot as usize) < n { slot } else { 0 }).collect();
        let q_bshd = ops::embedding(flat(q_1nhd, h * d), asking).reshape([self.batch, s, h, d]);
        let out_bshd = ops::attention(q_bshd, with_prefix(k_1ngd, 0), with_prefix(v_1ngd, 1), &self.how(how));
        ops::embedding(out_bshd.reshape([self.batch * s, h * d]), Arc::clone(&self.real)).reshape([1, n, h, d])
    }
}
