//! Causal attention over blocks of queries (FlashAttention, arXiv:2205.14135, in that scores are
//! never kept: memory is linear in the length), grouped-query (arXiv:2305.13245), confined to
//! the document of each query.
//!
//! Shapes: b batch, t query position, s key position, h query head, g key head, d head width.
//! Query `t` stands at key position `keys − queries + t` and sees the keys from `starts[b, t]` to it.

use std::cell::RefCell;

use rayon::prelude::*;

use crate::exp::exp;
use crate::expect_len;
use crate::product::{Extent, View, ViewMut, product};
use crate::reduce::{dot, exp_in_place, max};
use crate::simd::simd_fn;

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
}

/// What the backward pass needs of the forward pass.
#[derive(Debug, Clone, Copy)]
pub struct AttentionSaved<'a> {
    /// Queries `[b, t, h, d]`.
    pub q: &'a [f32],
    /// Keys `[b, s, g, d]`.
    pub k: &'a [f32],
    /// Values `[b, s, g, d]`.
    pub v: &'a [f32],
    /// Output `[b, t, h, d]`.
    pub out: &'a [f32],
    /// Log of the sum of exponentials of the scores `[b, h, t]`.
    pub lse: &'a [f32],
    /// First visible key `[b, t]`.
    pub starts: &'a [u32],
}

/// Where the gradients go; the shapes are those of `q`, `k`, `v`.
#[derive(Debug)]
pub struct AttentionGrads<'a> {
    /// Gradient of the queries.
    pub dq: &'a mut [f32],
    /// Gradient of the keys.
    pub dk: &'a mut [f32],
    /// Gradient of the values.
    pub dv: &'a mut [f32],
}

/// Queries per block.
const BLOCK: usize = 64;

thread_local! {
    static SCRATCH: RefCell<[Vec<f32>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// `out = softmax(scale · q kᵀ) v` over the visible keys, and the scores' log-sum-exp.
///
/// # Panics
/// If a slice does not have the length that `shape` says, or `starts` points past its query.
pub fn attention(
    out: &mut [f32],
    lse: &mut [f32],
    (q, k, v): (&[f32], &[f32], &[f32]),
    starts: &[u32],
    shape: AttentionShape,
) {
    shape.check(q, k, v, starts);
    expect_len("out", out.len(), q.len());
    expect_len("lse", lse.len(), shape.batch * shape.heads * shape.queries);
    let (out, lse) = (ViewMut::rows(out, shape.q_row()), ViewMut::rows(lse, shape.queries));
    let inputs = Inputs {
        q: View::rows(q, shape.q_row()),
        k: View::rows(k, shape.kv_row()),
        v: View::rows(v, shape.kv_row()),
        starts,
        shape,
    };
    let blocks = shape.queries.div_ceil(BLOCK);
    (0..shape.batch * shape.heads * blocks).into_par_iter().for_each(|task| {
        let (head, block) = (task / blocks, task % blocks);
        let tile = inputs.tile(head / shape.heads, head % shape.heads, block);
        // SAFETY: each task writes the rows of its own batch, head and block of queries.
        unsafe { forward_tile(&inputs, &tile, out, lse) };
    });
}

/// Gradients of [`attention`] given that of its output, with the scores computed again.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn attention_backward(grads: AttentionGrads<'_>, dout: &[f32], saved: AttentionSaved<'_>, shape: AttentionShape) {
    let AttentionSaved { q, k, v, out, lse, starts } = saved;
    shape.check(q, k, v, starts);
    for (name, got, expected) in
        [("dq", grads.dq.len(), q.len()), ("dk", grads.dk.len(), k.len()), ("dv", grads.dv.len(), v.len())]
    {
        expect_len(name, got, expected);
    }
    expect_len("dout", dout.len(), q.len());
    expect_len("out", out.len(), q.len());
    expect_len("lse", lse.len(), shape.batch * shape.heads * shape.queries);
    grads.dk.fill(0.0);
    grads.dv.fill(0.0);
    let inputs = Inputs {
        q: View::rows(q, shape.q_row()),
        k: View::rows(k, shape.kv_row()),
        v: View::rows(v, shape.kv_row()),
        starts,
        shape,
    };
    let targets = Targets {
        dq: ViewMut::rows(grads.dq, shape.q_row()),
        dk: ViewMut::rows(grads.dk, shape.kv_row()),
        dv: ViewMut::rows(grads.dv, shape.kv_row()),
    };
    let back = Backward { dout, out, lse };
    let group = shape.heads / shape.kv_heads.max(1);
    (0..shape.batch * shape.kv_heads).into_par_iter().for_each(|task| {
        let (batch, kv_head) = (task / shape.kv_heads, task % shape.kv_heads);
        for head in kv_head * group..(kv_head + 1) * group {
            for block in 0..shape.queries.div_ceil(BLOCK) {
                // SAFETY: a task writes the queries of its own heads and the keys of its own key head.
                unsafe { backward_tile(&inputs, &back, &inputs.tile(batch, head, block), targets) };
            }
        }
    });
}

impl AttentionShape {
    fn q_row(&self) -> usize {
        self.heads * self.head_dim
    }

    fn kv_row(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    #[track_caller]
    fn check(&self, q: &[f32], k: &[f32], v: &[f32], starts: &[u32]) {
        assert!(self.queries <= self.keys, "{} queries have only {} keys", self.queries, self.keys);
        assert!(
            self.kv_heads > 0 && self.heads % self.kv_heads == 0,
            "{} heads over {} key heads",
            self.heads,
            self.kv_heads
        );
        expect_len("q", q.len(), self.batch * self.queries * self.q_row());
        expect_len("k", k.len(), self.batch * self.keys * self.kv_row());
        expect_len("v", v.len(), k.len());
        expect_len("starts", starts.len(), self.batch * self.queries);
        let offset = self.keys - self.queries;
        let past = starts.iter().enumerate().find(|&(n, &start)| start as usize > offset + n % self.queries);
        assert!(past.is_none(), "starts: (position, first key) = {past:?} lies after the query");
    }
}

/// The inputs as matrices of all positions of a batch.
struct Inputs<'a> {
    q: View,
    k: View,
    v: View,
    starts: &'a [u32],
    shape: AttentionShape,
}

struct Backward<'a> {
    dout: &'a [f32],
    out: &'a [f32],
    lse: &'a [f32],
}

#[derive(Clone, Copy)]
struct Targets {
    dq: ViewMut,
    dk: ViewMut,
    dv: ViewMut,
}

/// A block of queries of one head, and the keys that any of them sees.
struct Tile {
    batch: usize,
    head: usize,
    /// First column of the head in `q`, and of its key head in `k`.
    q_column: usize,
    kv_column: usize,
    /// Queries `first..first + rows` of the batch.
    first: usize,
    rows: usize,
    /// Keys `low..low + columns` of the batch.
    low: usize,
    columns: usize,
}

impl Inputs<'_> {
    fn tile(&self, batch: usize, head: usize, block: usize) -> Tile {
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
    fn visible(&self, tile: &Tile, row: usize) -> std::ops::Range<usize> {
        let shape = &self.shape;
        let start = self.starts[tile.batch * shape.queries + tile.first + row] as usize;
        let position = shape.keys - shape.queries + tile.first + row;
        start - tile.low..position + 1 - tile.low
    }

    fn queries(&self, tile: &Tile) -> View {
        self.q.at(tile.batch * self.shape.queries + tile.first, tile.q_column)
    }

    fn keys(&self, tile: &Tile) -> View {
        self.k.at(tile.batch * self.shape.keys + tile.low, tile.kv_column)
    }

    fn values(&self, tile: &Tile) -> View {
        self.v.at(tile.batch * self.shape.keys + tile.low, tile.kv_column)
    }

    /// `scores[row, column] = q · k`, without the scale.
    ///
    /// # Safety
    /// `scores` has room for the tile.
    unsafe fn scores(&self, tile: &Tile, scores: &mut [f32]) {
        let extent = Extent { rows: tile.rows, columns: tile.columns, depth: self.shape.head_dim };
        // SAFETY: the tile lies inside `q` and `k`, whose lengths were checked.
        unsafe {
            product(
                ViewMut::rows(scores, tile.columns),
                self.queries(tile),
                self.keys(tile).transposed(),
                extent,
                false,
            )
        };
    }
}

/// # Safety
/// No other task writes the tile's rows of `out` and `lse`.
unsafe fn forward_tile(inputs: &Inputs<'_>, tile: &Tile, out: ViewMut, lse: ViewMut) {
    let shape = &inputs.shape;
    with_scratch(tile.rows * tile.columns, |scores, _| {
        // SAFETY: the scratch has the tile's size.
        unsafe { inputs.scores(tile, scores) };
        for (row, scores) in scores.chunks_exact_mut(tile.columns).enumerate() {
            let sum = softmax(scores, inputs.visible(tile, row), shape.scale);
            let target = lse.at(tile.batch * shape.heads + tile.head, tile.first + row);
            // SAFETY: the element belongs to this tile.
            unsafe { *target.pointer = sum };
        }
        let target = out.at(tile.batch * shape.queries + tile.first, tile.q_column);
        let extent = Extent { rows: tile.rows, columns: shape.head_dim, depth: tile.columns };
        // SAFETY: the rows of the block and the columns of the head belong to this tile.
        unsafe { product(target, View::rows(scores, tile.columns), inputs.values(tile), extent, false) };
    });
}

simd_fn! {
/// Turns the visible scores into probabilities and the others into 0; returns their log-sum-exp.
fn softmax<'a>(scores: &'a mut [f32], visible: std::ops::Range<usize>, scale: f32) -> f32 {
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

/// # Safety
/// No other task writes the tile's queries of `dq` or its key head of `dk` and `dv`.
unsafe fn backward_tile(inputs: &Inputs<'_>, back: &Backward<'_>, tile: &Tile, targets: Targets) {
    let shape = &inputs.shape;
    let (d, row) = (shape.head_dim, shape.q_row());
    let dout = View::rows(back.dout, row).at(tile.batch * shape.queries + tile.first, tile.q_column);
    let q_at = |n: usize| (tile.batch * shape.queries + tile.first + n) * row + tile.q_column;
    with_scratch(tile.rows * tile.columns, |p, ds| {
        // SAFETY: the scratch has the tile's size; `dout` has that of `q`; the targets are this task's own.
        unsafe {
            inputs.scores(tile, p);
            let wide = Extent { rows: tile.rows, columns: tile.columns, depth: d };
            product(ViewMut::rows(ds, tile.columns), dout, inputs.values(tile).transposed(), wide, false);
        }
        for (n, (p, ds)) in p.chunks_exact_mut(tile.columns).zip(ds.chunks_exact_mut(tile.columns)).enumerate() {
            let lse = back.lse[(tile.batch * shape.heads + tile.head) * shape.queries + tile.first + n];
            let (dout, out) = (&back.dout[q_at(n)..][..d], &back.out[q_at(n)..][..d]);
            score_gradient((p, ds), inputs.visible(tile, n), (dout, out), (lse, shape.scale));
        }
        let (p, ds) = (View::rows(p, tile.columns), View::rows(ds, tile.columns));
        let k_row = tile.batch * shape.keys + tile.low;
        let (dk, dv) = (targets.dk.at(k_row, tile.kv_column), targets.dv.at(k_row, tile.kv_column));
        let dq = targets.dq.at(tile.batch * shape.queries + tile.first, tile.q_column);
        let tall = Extent { rows: tile.columns, columns: d, depth: tile.rows };
        // SAFETY: as above.
        unsafe {
            product(dq, ds, inputs.keys(tile), Extent { rows: tile.rows, columns: d, depth: tile.columns }, false);
            product(dk, ds.transposed(), inputs.queries(tile), tall, true);
            product(dv, p.transposed(), dout, tall, true);
        }
    });
}

simd_fn! {
    /// Scores to probabilities `p`, and `ds` from `dp` to `scale · p · (dp − Σ dout·out)`.
    fn score_gradient<'a>(
        tile: (&'a mut [f32], &'a mut [f32]),
        visible: std::ops::Range<usize>,
        outputs: (&'a [f32], &'a [f32]),
        factors: (f32, f32),
    ) {
        let ((p, ds), (lse, scale)) = (tile, factors);
        for outside in [0..visible.start, visible.end..p.len()] {
            p[outside.clone()].fill(0.0);
            ds[outside].fill(0.0);
        }
        let delta = dot(outputs.0, outputs.1);
        for (p, ds) in p[visible.clone()].iter_mut().zip(&mut ds[visible]) {
            *p = exp(*p * scale - lse);
            *ds = *p * (*ds - delta) * scale;
        }
    }
}

fn with_scratch(size: usize, run: impl FnOnce(&mut [f32], &mut [f32])) {
    SCRATCH.with_borrow_mut(|[a, b]| {
        for scratch in [&mut *a, &mut *b] {
            if scratch.len() < size {
                scratch.resize(size, 0.0);
            }
        }
        run(&mut a[..size], &mut b[..size]);
    });
}
