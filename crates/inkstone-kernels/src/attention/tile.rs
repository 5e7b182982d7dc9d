//! A block of queries of one head, and what it reads.

use std::ops::Range;

use super::AttentionShape;
use crate::number::Number;
use crate::product::{Corner, Panels, Plan, View};

/// Queries per block: whole tiles of rows of every instruction set.
pub(super) const BLOCK: usize = 48;
/// The first key of a tile is a multiple of this: the width of the widest panel.
const ALIGNED: usize = 32;

/// The inputs as matrices of all positions of a batch.
pub(super) struct Inputs<'a> {
    pub(super) q: View,
    pub(super) k: View,
    pub(super) v: View,
    pub(super) starts: &'a [u32],
    pub(super) shape: AttentionShape,
}

/// A block of queries of one head, and the keys that any of them sees.
pub(super) struct Tile {
    pub(super) batch: usize,
    pub(super) head: usize,
    /// First column of the head in `q`.
    pub(super) q_column: usize,
    /// Queries `first..first + rows` of the batch.
    pub(super) first: usize,
    pub(super) rows: usize,
    /// Keys `low..low + columns` of the batch.
    pub(super) low: usize,
    pub(super) columns: usize,
}

impl<'a> Inputs<'a> {
    /// A product on this thread, added to what is there or instead of it.
    pub(super) fn plan(&self, accumulate: bool) -> Plan {
        Plan { precision: self.shape.precision, accumulate, parallel: false }
    }

    pub(super) fn new<N: Number>((q, k, v): (&[N], &[N], &[N]), starts: &'a [u32], shape: AttentionShape) -> Self {
        let (q_row, kv_row) = (shape.q_row(), shape.kv_row());
        Self { q: View::rows(q, q_row), k: View::rows(k, kv_row), v: View::rows(v, kv_row), starts, shape }
    }

    /// Queries, keys and values side by side.
    pub(super) fn packed<N: Number>(qkv: &[N], starts: &'a [u32], shape: AttentionShape) -> Self {
        let q = View::rows(qkv, shape.packed_row());
        let [k, v] = shape.packed_columns().map(|column| q.at(0, column));
        Self { q, k, v, starts, shape }
    }

    pub(super) fn tile(&self, batch: usize, head: usize, block: usize) -> Tile {
        let shape = &self.shape;
        let first = block * BLOCK;
        let rows = BLOCK.min(shape.queries - first);
        let starts = &self.starts[batch * shape.queries + first..][..rows];
        let low = starts.iter().copied().min().unwrap_or(0) as usize / ALIGNED * ALIGNED;
        let high = shape.keys - shape.queries + first + rows;
        Tile { batch, head, q_column: head * shape.head_dim, first, rows, low, columns: high - low }
    }

    /// Visible keys of the tile's query `row`, as columns of the tile.
    pub(super) fn visible(&self, tile: &Tile, row: usize) -> Range<usize> {
        let shape = &self.shape;
        let start = self.starts[tile.batch * shape.queries + tile.first + row] as usize;
        let position = shape.keys - shape.queries + tile.first + row;
        start - tile.low..position + 1 - tile.low
    }

    /// The query heads that share a key head.
    pub(super) fn group(&self, kv_head: usize) -> Range<usize> {
        let size = self.shape.heads / self.shape.kv_heads;
        kv_head * size..(kv_head + 1) * size
    }

    pub(super) fn queries(&self, tile: &Tile) -> View {
        self.q.at(tile.batch * self.shape.queries + tile.first, tile.q_column)
    }

    /// The keys that any query of the blocks sees, in panels; `orders` are those in which they are wanted.
    pub(super) fn keys<const N: usize>(
        &self,
        (batch, kv_head): (usize, usize),
        blocks: Range<usize>,
        orders: [Order; N],
    ) -> Keys<N> {
        let AttentionShape { queries, keys, head_dim, precision, .. } = self.shape;
        let last = queries.min(blocks.end * BLOCK);
        let starts = &self.starts[batch * queries + blocks.start * BLOCK..batch * queries + last];
        let low = starts.iter().copied().min().unwrap_or(0) as usize / ALIGNED * ALIGNED;
        let size = keys - queries + last - low;
        let panels = orders.map(|order| {
            let (from, transposed) = match order {
                Order::KeysTransposed => (self.k, true),
                Order::Keys => (self.k, false),
                Order::ValuesTransposed => (self.v, true),
                Order::Values => (self.v, false),
            };
            let from = from.at(batch * keys + low, kv_head * head_dim);
            // SAFETY: these keys of the head lie inside the inputs.
            unsafe {
                if transposed {
                    Panels::pack(from.transposed(), (head_dim, size), precision, false)
                } else {
                    Panels::pack(from, (size, head_dim), precision, false)
                }
            }
        });
        Keys { low, orders, panels }
    }
}

/// An order of keys or values as the second operand of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// `[d, s]`.
    KeysTransposed,
    /// `[s, d]`.
    Keys,
    /// `[d, s]`.
    ValuesTransposed,
    /// `[s, d]`.
    Values,
}

/// Keys and values of one head from position `low` on.
pub(super) struct Keys<const N: usize> {
    low: usize,
    orders: [Order; N],
    panels: [Panels; N],
}

impl<const N: usize> Keys<N> {
    /// Those of the tile, in the order of index `n`.
    pub(super) fn of(&self, tile: &Tile, n: usize) -> Corner<'_> {
        let (panels, from) = (&self.panels[n], tile.low - self.low);
        match self.orders[n] {
            Order::KeysTransposed | Order::ValuesTransposed => Corner { panels, column: from, level: 0 },
            Order::Keys | Order::Values => Corner { panels, column: 0, level: from },
        }
    }
}
