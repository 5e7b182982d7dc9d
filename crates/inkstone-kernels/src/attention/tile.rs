//! A block of queries of one head, and what it reads.

use std::ops::Range;

use super::AttentionShape;
use crate::number::Number;
use crate::product::{Plan, View};

/// Queries per block.
pub(super) const BLOCK: usize = 64;
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
    /// First column of the head in `q`, and of its key head in `k`.
    pub(super) q_column: usize,
    pub(super) kv_column: usize,
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

    pub(super) fn tile(&self, batch: usize, head: usize, block: usize) -> Tile {
        let shape = &self.shape;
        let first = block * BLOCK;
        let rows = BLOCK.min(shape.queries - first);
        let starts = &self.starts[batch * shape.queries + first..][..rows];
        let low = starts.iter().copied().min().unwrap_or(0) as usize;
        let high = shape.keys - shape.queries + first + rows;
        let kv_head = head / (shape.heads / shape.kv_heads);
        let (q_column, kv_column) = (head * shape.head_dim, kv_head * shape.head_dim);
        Tile { batch, head, q_column, kv_column, first, rows, low, columns: high - low }
    }

    /// Visible keys of the tile's query `row`, as columns of the tile.
    pub(super) fn visible(&self, tile: &Tile, row: usize) -> Range<usize> {
        let shape = &self.shape;
        let start = self.starts[tile.batch * shape.queries + tile.first + row] as usize;
        let position = shape.keys - shape.queries + tile.first + row;
        start - tile.low..position + 1 - tile.low
    }

    pub(super) fn queries(&self, tile: &Tile) -> View {
        self.q.at(tile.batch * self.shape.queries + tile.first, tile.q_column)
    }

    pub(super) fn keys(&self, tile: &Tile) -> View {
        self.k.at(tile.batch * self.shape.keys + tile.low, tile.kv_column)
    }

    pub(super) fn values(&self, tile: &Tile) -> View {
        self.v.at(tile.batch * self.shape.keys + tile.low, tile.kv_column)
    }
}
