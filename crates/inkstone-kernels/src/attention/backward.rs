//! The backward pass, with the scores computed again.

use std::ops::Range;

use rayon::prelude::*;

use super::tile::{BLOCK, Inputs, Keys, Order, Tile};
use super::{AttentionGrads, AttentionSaved, AttentionShape};
use crate::exp::exp;
use crate::expect_len;
use crate::number::{Number, load, store};
use crate::product::{Extent, View, ViewMut, multiply, product};
use crate::profile::span;
use crate::reduce::dot;
use crate::scratch::Scratch;
use crate::simd::simd_fn;

/// Gradients of [`attention`](super::attention) given that of its output, with the scores computed again.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn attention_backward<N: Number>(
    grads: AttentionGrads<'_, N>,
    dout: &[N],
    saved: AttentionSaved<'_, N>,
    shape: AttentionShape,
) {
    let AttentionSaved { q, k, v, out, lse, starts } = saved;
    let AttentionGrads { dq, dk, dv } = grads;
    shape.check(q, k, v, starts);
    for (name, got, expected) in [("dq", dq.len(), q.len()), ("dk", dk.len(), k.len()), ("dv", dv.len(), v.len())] {
        expect_len(name, got, expected);
    }
    expect_len("dout", dout.len(), q.len());
    expect_len("out", out.len(), q.len());
    expect_len("lse", lse.len(), shape.batch * shape.heads * shape.queries);
    let bytes = 4 * (size_of_val(q) + size_of_val(k));
    let _span = span("attention, gradient", || shape.work(5, bytes));
    let dq = ViewMut::rows(dq, shape.q_row());
    let [dk, dv] = [dk, dv].map(|x| ViewMut::rows(x, shape.kv_row()));
    let inputs = Inputs::new((q, k, v), starts, shape);
    // SAFETY: the lengths were checked, and the gradients are borrowed alone.
    unsafe { backward(&inputs, &Backward { dout, out, lse }, Targets { dq, dk, dv }) };
}

/// Fills the gradients `to`.
///
/// # Safety
/// They, the inputs and what the forward pass left have the sizes of the shape; nobody else touches the gradients.
pub(super) unsafe fn backward<N: Number>(inputs: &Inputs<'_>, back: &Backward<'_, N>, to: Targets) {
    let (shape, Targets { dq, dk, dv }) = (inputs.shape, to);
    let blocks = shape.queries.div_ceil(BLOCK);
    (0..shape.batch * shape.kv_heads).into_par_iter().with_max_len(1).for_each(|task| {
        let (batch, kv_head) = (task / shape.kv_heads, task % shape.kv_heads);
        let size = shape.keys * shape.head_dim;
        let mut sums = Scratch::take(2 * size);
        sums.fill(0.0);
        let (dk_sums, dv_sums) = sums.split_at_mut(size);
        let [k, v] = [&mut *dk_sums, &mut *dv_sums].map(|sums| ViewMut::rows(sums, shape.head_dim));
        let targets = Targets { dq, dk: k, dv: v };
        let keys = inputs.keys((batch, kv_head), 0..blocks, ORDERS);
        for head in inputs.group(kv_head) {
            for block in 0..blocks {
                let tile = inputs.tile(batch, head, block);
                // SAFETY: a task writes the queries of its own heads, and sums that are its own.
                unsafe { backward_tile((inputs, &keys), back, &tile, targets) };
            }
        }
        for (target, sums) in [(dk, dk_sums), (dv, dv_sums)] {
            for (s, sums) in sums.chunks_exact(shape.head_dim.max(1)).enumerate() {
                let line = target.at(batch * shape.keys + s, kv_head * shape.head_dim);
                // SAFETY: a task writes the keys of its own key head.
                store(unsafe { line.line::<N>(shape.head_dim) }, sums);
            }
        }
    });
}

/// Scores, their gradient, and the gradient of the queries take the keys in these orders.
const ORDERS: [Order; 3] = [Order::KeysTransposed, Order::ValuesTransposed, Order::Keys];

/// What the forward pass left, and the gradient of its output.
pub(super) struct Backward<'a, N> {
    pub(super) dout: &'a [N],
    pub(super) out: &'a [N],
    pub(super) lse: &'a [f32],
}

/// Where the gradients go.
#[derive(Clone, Copy)]
pub(super) struct Targets {
    pub(super) dq: ViewMut,
    pub(super) dk: ViewMut,
    pub(super) dv: ViewMut,
}

/// # Safety
/// No other task writes the tile's queries of `dq`, or `dk` and `dv`, which are sums of the tile's key head.
unsafe fn backward_tile<N: Number>(
    (inputs, keys): (&Inputs<'_>, &Keys<3>),
    back: &Backward<'_, N>,
    tile: &Tile,
    targets: Targets,
) {
    let AttentionShape { queries, head_dim, .. } = inputs.shape;
    let Tile { rows, columns, .. } = *tile;
    let query = tile.batch * queries + tile.first;
    let dout = View::rows(back.dout, inputs.shape.q_row()).at(query, tile.q_column);
    let mut scratch = Scratch::take(2 * rows * columns);
    let (p, ds) = scratch.split_at_mut(rows * columns);
    let wide = Extent { rows, columns, depth: head_dim };
    let plan = inputs.plan(false);
    // SAFETY: the scratch has the tile's size, and the tile lies inside the inputs.
    unsafe {
        multiply(ViewMut::rows(p, columns), inputs.queries(tile), keys.of(tile, 0), wide, plan);
        multiply(ViewMut::rows(ds, columns), dout, keys.of(tile, 1), wide, plan);
    }
    score_gradients(inputs, back, tile, (p, ds));
    let (p, ds) = (View::rows(p, columns), View::rows(ds, columns));
    let (dk, dv) = (targets.dk.at(tile.low, 0), targets.dv.at(tile.low, 0));
    let tall = Extent { rows: columns, columns: head_dim, depth: rows };
    let flat = Extent { rows, columns: head_dim, depth: columns };
    // SAFETY: the queries' rows and the head's keys belong to this task.
    unsafe {
        multiply(targets.dq.at(query, tile.q_column), ds, keys.of(tile, 2), flat, plan);
        product(dk, ds.transposed(), inputs.queries(tile), tall, inputs.plan(true));
        product(dv, p.transposed(), dout, tall, inputs.plan(true));
    }
}

/// [`score_gradient`] of every row of the tile.
fn score_gradients<N: Number>(
    inputs: &Inputs<'_>,
    back: &Backward<'_, N>,
    tile: &Tile,
    (p, ds): (&mut [f32], &mut [f32]),
) {
    let AttentionShape { queries, heads, head_dim, scale, .. } = inputs.shape;
    let mut lines = Scratch::take(2 * head_dim);
    let (dout, out) = lines.split_at_mut(head_dim);
    for (n, (p, ds)) in p.chunks_exact_mut(tile.columns).zip(ds.chunks_exact_mut(tile.columns)).enumerate() {
        let lse = back.lse[(tile.batch * heads + tile.head) * queries + tile.first + n];
        let at = (tile.batch * queries + tile.first + n) * inputs.shape.q_row() + tile.q_column;
        load(dout, &back.dout[at..at + head_dim]);
        load(out, &back.out[at..at + head_dim]);
        score_gradient((p, ds), inputs.visible(tile, n), (&*dout, &*out), (lse, scale));
    }
}

simd_fn! {
    /// Scores to probabilities `p`, and `ds` from `dp` to `scale · p · (dp − Σ dout·out)`.
    fn score_gradient<'a>(
        tile: (&'a mut [f32], &'a mut [f32]),
        visible: Range<usize>,
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
