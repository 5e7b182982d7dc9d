//! A block of queries of one head, and what it reads.

use std::ops::Range;

use rayon::prelude::*;

use super::AttentionShape;
use crate::product::View;
use crate::scratch::Scratch;
use crate::tiles::turned_copy;

/// Queries per block.
pub(super) const BLOCK: usize = 64;
/// Queries from which turning the keys once is cheaper than in every block.
const TURNED: usize = 16;

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
    pub(super) fn new((q, k, v): (&'a [f32], &'a [f32], &'a [f32]), starts: &'a [u32], shape: AttentionShape) -> Self {
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

    /// All keys of a head (or its values, if `of` is those) as the rows of `[d, s]`, so that the products
    /// of every block read them as they lie.
    pub(super) fn turn(&self, of: View, batch: usize, kv_head: usize, to: &mut [f32]) {
        let shape = &self.shape;
        let from = of.at(batch * shape.keys, kv_head * shape.head_dim).transposed();
        // SAFETY: the head's keys lie inside `k` (or `v`), whose lengths were checked.
        unsafe { turned_copy(to, from, shape.keys) };
    }

    /// `[d, s]` of every key head, where so many queries use it that turning pays.
    pub(super) fn turned_keys(&self) -> Option<Scratch> {
        let shape = &self.shape;
        let size = shape.head_dim * shape.keys;
        (shape.queries >= TURNED && size > 0).then(|| {
            let mut turned = Scratch::take(shape.batch * shape.kv_heads * size);
            turned.par_chunks_mut(size).enumerate().for_each(|(n, to)| {
                self.turn(self.k, n / shape.kv_heads, n % shape.kv_heads, to);
            });
            turned
        })
    }

    /// The keys that the tile sees as `[d, s]`, given [`Inputs::turned_keys`].
    pub(super) fn keys_turned(&self, tile: &Tile, turned: Option<&Scratch>) -> View {
        let shape = &self.shape;
        let Some(turned) = turned else { return self.keys(tile).transposed() };
        let head = tile.batch * shape.kv_heads + tile.kv_column / shape.head_dim;
        View::rows(turned, shape.keys).at(head * shape.head_dim, tile.low)
    }
}
