//! The forward pass.

use std::ops::Range;

use rayon::prelude::*;

use super::AttentionShape;
use super::tile::{BLOCK, Inputs, Keys, Order, Tile};
use crate::expect_len;
use crate::number::Number;
use crate::product::{Extent, View, ViewMut, multiply};
use crate::profile::span;
use crate::reduce::{exp_in_place, max};
use crate::scratch::Scratch;
use crate::simd::simd_fn;

/// Tasks for each thread where a head of keys is cut between several: each packs the keys that it sees.
const TASKS: usize = 4;

/// `out = softmax(scale · q kᵀ) v` over the visible keys, and the scores' log-sum-exp.
///
/// # Panics
/// If a slice does not have the length that `shape` says, or `starts` points past its query.
pub fn attention<N: Number>(
    out: &mut [N],
    lse: &mut [f32],
    (q, k, v): (&[N], &[N], &[N]),
    starts: &[u32],
    shape: AttentionShape,
) {
    shape.check(q, k, v, starts);
    expect_len("out", out.len(), q.len());
    expect_len("lse", lse.len(), shape.batch * shape.heads * shape.queries);
    let bytes = 2 * (size_of_val(out) + size_of_val(k));
    let _span = span("attention", || shape.work(2, bytes));
    let to = (ViewMut::rows(out, shape.q_row()), ViewMut::rows(lse, shape.queries));
    // SAFETY: the lengths were checked, and the outputs are borrowed alone.
    unsafe { forward(&Inputs::new((q, k, v), starts, shape), to) };
}

/// Fills `out` and `lse`.
///
/// # Safety
/// They and the inputs have the sizes of the shape, and nobody else touches `out` and `lse`.
pub(super) unsafe fn forward(inputs: &Inputs<'_>, to: (ViewMut, ViewMut)) {
    let shape = inputs.shape;
    let (blocks, heads) = (shape.queries.div_ceil(BLOCK), shape.batch * shape.kv_heads);
    let parts = (TASKS * rayon::current_num_threads()).div_ceil(heads.max(1)).clamp(1, blocks.max(1));
    (0..heads * parts).into_par_iter().with_max_len(1).for_each(|task| {
        let (head, part) = (task / parts, task % parts);
        let blocks = part * blocks / parts..(part + 1) * blocks / parts;
        // SAFETY: each task writes the rows of its own heads and blocks of queries.
        unsafe { forward_heads(inputs, (head / shape.kv_heads, head % shape.kv_heads), blocks, to) };
    });
}

/// The heads that share a key head, over some blocks of queries.
///
/// # Safety
/// No other task writes their rows of `out` and `lse`.
unsafe fn forward_heads(
    inputs: &Inputs<'_>,
    (batch, kv_head): (usize, usize),
    blocks: Range<usize>,
    to: (ViewMut, ViewMut),
) {
    if blocks.is_empty() {
        return;
    }
    let keys = inputs.keys((batch, kv_head), blocks.clone(), [Order::KeysTransposed, Order::Values]);
    for head in inputs.group(kv_head) {
        for block in blocks.clone() {
            // SAFETY: the caller's promise.
            unsafe { forward_tile(inputs, &inputs.tile(batch, head, block), &keys, to) };
        }
    }
}

/// # Safety
/// No other task writes the tile's rows of `out` and `lse`.
unsafe fn forward_tile(inputs: &Inputs<'_>, tile: &Tile, keys: &Keys<2>, (out, lse): (ViewMut, ViewMut)) {
    let AttentionShape { queries, heads, head_dim, scale, .. } = inputs.shape;
    let Tile { rows, columns, .. } = *tile;
    let mut scores = Scratch::take(rows * columns);
    let extent = Extent { rows, columns, depth: head_dim };
    let target = ViewMut::rows(&mut scores, columns);
    // SAFETY: the scratch has the tile's size, and the tile lies inside the inputs.
    unsafe { multiply(target, inputs.queries(tile), keys.of(tile, 0), extent, inputs.plan(false)) };
    for (row, scores) in scores.chunks_exact_mut(columns).enumerate() {
        let sum = softmax(scores, inputs.visible(tile, row), scale);
        // SAFETY: the element belongs to this tile.
        unsafe { lse.at(tile.batch * heads + tile.head, tile.first + row).line::<f32>(1)[0] = sum };
    }
    let target = out.at(tile.batch * queries + tile.first, tile.q_column);
    let extent = Extent { rows, columns: head_dim, depth: columns };
    // SAFETY: the rows of the block and the columns of the head belong to this tile.
    unsafe { multiply(target, View::rows(&scores, columns), keys.of(tile, 1), extent, inputs.plan(false)) };
}

simd_fn! {
/// Turns the visible scores into probabilities and the others into 0; returns their log-sum-exp.
fn softmax<'a>(scores: &'a mut [f32], visible: Range<usize>, scale: f32) -> f32 {
    scores[..visible.start].fill(0.0);
    scores[visible.end..].fill(0.0);
    let scores = &mut scores[visible];
    let top = max(scores) * scale;
    let sum = exp_in_place(scores, scale, top);
    let inverse = 1.0 / sum;
    for x in scores.iter_mut() {
        *x *= inverse;
    }
    top + sum.ln()
}
}
