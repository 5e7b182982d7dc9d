//! One pass through the model over tokens of many sequences.

use inkstone_kernels::{BLOCK_POSITIONS, PagedBlock, PagedQuery, PagedShape, awake, paged_attention};
use inkstone_models::{Model, Store};
use inkstone_nn::ops::{self, Attention, Bias};
use inkstone_nn::{Tensor, TensorData};

use crate::blocks::{BlockId, Pool};

/// The tokens of a pass, sequence after sequence.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    ids: Vec<u32>,
    positions: Vec<u32>,
    /// For each token the table of its sequence's blocks.
    owners: Vec<usize>,
    tables: Vec<Vec<BlockId>>,
    /// Tokens after which logits are wanted.
    wanted: Vec<u32>,
}

impl Batch {
    /// Adds the tokens of one sequence that stand from `first` on; logits are wanted after the last `logits` of them. Returns
    /// the rows of those.
    pub(crate) fn push(
        &mut self,
        (ids, first): (&[u32], usize),
        table: &[BlockId],
        logits: usize,
    ) -> std::ops::Range<usize> {
        self.tables.push(table.to_vec());
        self.owners.extend(ids.iter().map(|_| self.tables.len() - 1));
        self.ids.extend(ids);
        self.positions.extend((first..first + ids.len()).map(|position| position as u32));
        let (begin, end) = (self.wanted.len(), self.ids.len() as u32);
        self.wanted.extend(end - logits as u32..end);
        begin..self.wanted.len()
    }

    /// Tokens so far.
    pub(crate) fn len(&self) -> usize {
        self.ids.len()
    }

    /// The logits `[wanted, vocabulary]`; keys and values are in the pool then.
    pub(crate) fn run(self, model: &Model, pool: &mut Pool) -> Vec<f32> {
        let Self { ids, positions, owners, tables, wanted: rows } = self;
        let mut store = PagedStore { pool, positions, owners, tables, rows: [const { Vec::new() }; 3] };
        awake(|| model.logits_at(&ids, &rows, &mut store))
    }
}

/// The pool as a pass sees it.
struct PagedStore<'a> {
    pool: &'a mut Pool,
    positions: Vec<u32>,
    owners: Vec<usize>,
    tables: Vec<Vec<BlockId>>,
    /// Queries, keys and values of the layer, used again.
    rows: [Vec<f32>; 3],
}

impl Store for PagedStore<'_> {
    fn positions(&self) -> &[u32] {
        &self.positions
    }

    fn attend(
        &mut self,
        layer: usize,
        q_bnhd: Tensor<4>,
        (k_bngd, v_bngd): (Tensor<4>, Tensor<4>),
        how: &Attention,
    ) -> Tensor<4> {
        let ([b, n, h, d], [_, _, g, _], device) = (q_bnhd.dims(), k_bngd.dims(), q_bnhd.device());
        for (rows, tensor) in self.rows.iter_mut().zip([q_bnhd, k_bngd, v_bngd]) {
            rows.clear();
            ops::append(rows, tensor);
        }
        self.keep(layer, g * d);
        let mut out = vec![0.0; b * n * h * d];
        let shape = PagedShape { heads: h, kv_heads: g, head_dim: d, scale: how.scale };
        self.attend_own(&mut out, layer, how, shape);
        Tensor::from_data(TensorData::new(out, [b, n, h, d]), &device)
    }
}

impl PagedStore<'_> {
    fn keep(&mut self, layer: usize, width: usize) {
        let [_, k, v] = &self.rows;
        let rows = k.chunks_exact(width).zip(v.chunks_exact(width));
        for ((&owner, &position), row) in self.owners.iter().zip(&self.positions).zip(rows) {
            let (block, p) = (position as usize / BLOCK_POSITIONS, position as usize % BLOCK_POSITIONS);
            self.pool.write((self.tables[owner][block], p), layer, row);
        }
    }

    fn attend_own(&self, out: &mut [f32], layer: usize, how: &Attention, shape: PagedShape) {
        let view = |table: &Vec<BlockId>| table.iter().map(|&id| self.pool.view(id, layer)).collect();
        let blocks: Vec<Vec<PagedBlock<'_>>> = self.tables.iter().map(view).collect();
        let tokens = self.owners.iter().zip(&self.positions).zip(how.starts.iter());
        let query = |((&owner, &position), &start): ((&usize, &u32), &u32)| PagedQuery {
            blocks: &blocks[owner],
            position: position as usize,
            start: start as usize,
        };
        let queries: Vec<PagedQuery<'_>> = tokens.map(query).collect();
        let slopes = match &how.bias {
            Bias::None => None,
            Bias::Alibi(slopes) => Some(&**slopes),
            Bias::Additive(_) => unreachable!("a scheduler refuses models that add biases of their own"),
        };
        paged_attention(out, &self.rows[0], &queries, slopes, shape);
    }
}
