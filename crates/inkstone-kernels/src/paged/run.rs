//! Queries of one sequence, and the heads that share a key head.

use std::ops::Range;

use super::products::{LANES, Lines, SIDE, Sums, add_products};
use super::{BLOCK_POSITIONS, PagedQuery, PagedShape};
use crate::product::ViewMut;
use crate::reduce::{exp_in_place, max};
use crate::scratch::Scratch;
use crate::simd::simd_fn;

/// What a task computes.
pub(super) struct Run<'a> {
    /// Queries over the same blocks.
    pub(super) queries: &'a [PagedQuery<'a>],
    /// The number of the first one among all queries.
    pub(super) first: usize,
    /// The key head.
    pub(super) head: usize,
    pub(super) shape: PagedShape,
}

/// Scores of rows, query after query and in it head after head, over positions from the first block's begin on.
struct Scores<'a> {
    numbers: &'a mut [f32],
    /// Positions.
    room: usize,
    /// Blocks.
    blocks: Range<usize>,
}

impl Run<'_> {
    /// Writes the outputs.
    ///
    /// # Safety
    /// `out[n, h, d]` is as long as `q`, and nobody else touches the run's queries and heads in it.
    pub(super) unsafe fn attend(&self, out: ViewMut, q: &[f32], slopes: Option<&[f32]>) {
        let (group, d) = (self.group(), self.shape.head_dim);
        let blocks = self.blocks();
        let (rows, room) = (self.queries.len() * group, blocks.len() * BLOCK_POSITIONS);
        let mut scratch = Scratch::take(rows * (room + 2 * d) + SIDE * d * BLOCK_POSITIONS);
        let (numbers, rest) = scratch.split_at_mut(rows * room);
        let (q_rows, rest) = rest.split_at_mut(rows * d);
        let (sums, tiles) = rest.split_at_mut(rows * d);
        let mut scores = Scores { numbers, room, blocks };
        self.gather(q_rows, q);
        self.score(&mut scores, q_rows, tiles);
        for (n, row) in scores.numbers.chunks_exact_mut(room).enumerate() {
            let slope = slopes.map_or(0.0, |slopes| slopes[self.head * group + n % group]);
            weigh(row, self.visible(n / group, &scores.blocks), slope);
        }
        self.mix(sums, &scores, tiles);
        for (n, sums) in sums.chunks_exact(d).enumerate() {
            let line = out.at(self.first + n / group, (self.head * group + n % group) * d);
            // SAFETY: the caller's promise.
            unsafe { line.line::<f32>(d) }.copy_from_slice(sums);
        }
    }

    /// Query heads that share the key head.
    fn group(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }

    /// Blocks that any of the queries sees something of.
    fn blocks(&self) -> Range<usize> {
        let first = self.queries.iter().map(|query| query.start).min().unwrap_or(0);
        let last = self.queries.iter().map(|query| query.position).max().unwrap_or(0);
        first / BLOCK_POSITIONS..last / BLOCK_POSITIONS + 1
    }

    /// Positions that a query sees, counted from the first block's begin.
    fn visible(&self, query: usize, blocks: &Range<usize>) -> Range<usize> {
        let (query, begin) = (&self.queries[query], blocks.start * BLOCK_POSITIONS);
        query.start - begin..query.position + 1 - begin
    }

    /// The queries' rows, with the factor on scores in them.
    fn gather(&self, rows: &mut [f32], q: &[f32]) {
        let PagedShape { heads, head_dim: d, scale, .. } = self.shape;
        let width = self.group() * d;
        for (n, rows) in rows.chunks_exact_mut(width).enumerate() {
            let from = &q[(self.first + n) * heads * d + self.head * width..][..width];
            rows.iter_mut().zip(from).for_each(|(to, from)| *to = from * scale);
        }
    }

    /// Scores of all rows with all positions, a few blocks at a time.
    fn score(&self, scores: &mut Scores<'_>, q: &[f32], tiles: &mut [f32]) {
        let d = self.shape.head_dim;
        scores.numbers.fill(0.0);
        let blocks = &self.queries[0].blocks[scores.blocks.clone()];
        for (n, blocks) in blocks.chunks(SIDE).enumerate() {
            let keys = blocks.iter().zip(tiles.chunks_exact_mut(d * BLOCK_POSITIONS));
            let keys = keys.map(|(block, tile)| block.keys.tile(self.head, tile, true));
            let keys: Vec<Lines<'_>> = keys.map(|numbers| Lines { numbers, stride: BLOCK_POSITIONS }).collect();
            let (at, stride, rows) = (n * SIDE * BLOCK_POSITIONS, scores.room, q.len() / d);
            let mut sums = Sums { numbers: scores.numbers, at, stride, rows };
            add_products(&mut sums, Lines { numbers: q, stride: d }, &keys, d);
        }
    }

    /// Values by their weights: of a block that all rows see to its end by all rows at once, else by each row as much as it sees.
    fn mix(&self, sums: &mut [f32], scores: &Scores<'_>, tile: &mut [f32]) {
        let (d, group) = (self.shape.head_dim, self.group());
        let (rows, tile) = (sums.len() / d, &mut tile[..d * BLOCK_POSITIONS]);
        sums.fill(0.0);
        for (n, block) in self.queries[0].blocks[scores.blocks.clone()].iter().enumerate() {
            let whole = n * BLOCK_POSITIONS..(n + 1) * BLOCK_POSITIONS;
            let seen = |row: usize| {
                let visible = self.visible(row / group, &scores.blocks);
                visible.start.max(whole.start)..visible.end.min(whole.end)
            };
            let values = block.values.tile(self.head, tile, false);
            if (0..rows).step_by(group).all(|row| seen(row) == whole) {
                mix(sums, scores.weights(0, whole.start), (values, d), whole.len());
                continue;
            }
            for (row, sums) in sums.chunks_exact_mut(d).enumerate() {
                let seen = seen(row);
                if !seen.is_empty() {
                    let values = &values[(seen.start - whole.start) * d..];
                    mix(sums, scores.weights(row, seen.start), (values, d), seen.len());
                }
            }
        }
    }
}

impl Scores<'_> {
    /// From a row and position on.
    fn weights(&self, row: usize, position: usize) -> Lines<'_> {
        Lines { numbers: &self.numbers[row * self.room + position..], stride: self.room }
    }
}

/// Adds `values[p, d]` of so many positions to the sums of rows by their weights.
fn mix(sums: &mut [f32], weights: Lines<'_>, (values, d): (&[f32], usize), positions: usize) {
    let (rows, whole) = (sums.len() / d, d / LANES * LANES);
    let vector = |lane: usize| Lines { numbers: &values[lane..], stride: d };
    let vectors: Vec<Lines<'_>> = (0..whole).step_by(LANES).map(vector).collect();
    add_products(&mut Sums { numbers: sums, at: 0, stride: d, rows }, weights, &vectors, positions);
    if whole == d {
        return;
    }
    for (row, sums) in sums.chunks_exact_mut(d).enumerate() {
        let weights = &weights.numbers[row * weights.stride..][..positions];
        for (weight, values) in weights.iter().zip(values.chunks_exact(d)) {
            sums[whole..].iter_mut().zip(&values[whole..]).for_each(|(sum, value)| *sum += weight * value);
        }
    }
}

simd_fn! {
/// Turns the visible scores of a row, the last of which is the query's own, into probabilities.
fn weigh<'a>(row: &'a mut [f32], visible: Range<usize>, slope: f32) {
    let scores = &mut row[visible];
    if slope != 0.0 {
        let own = scores.len() - 1;
        for (n, score) in scores.iter_mut().enumerate() {
            *score -= slope * (own - n) as f32;
        }
    }
    let top = max(scores);
    let inverse = 1.0 / exp_in_place(scores, 1.0, top);
    for score in scores.iter_mut() {
        *score *= inverse;
    }
}
}
