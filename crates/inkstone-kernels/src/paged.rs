//! Causal attention of single queries over keys and values that lie in blocks (arXiv:2309.06180, section 4).
//!
//! Each query is computed by itself, in one order of sums: its bits depend on its own sequence alone, not on which other
//! queries are computed beside it.
//!
//! Shapes: h query head, g key head, d head width, p position inside a block. Of one block and layer, keys are `[g, d, p]`, so
//! that the scores of a block's positions are one vector, and values `[g, p, d]`.

use rayon::prelude::*;

use crate::expect_len;
use crate::reduce::{exp_in_place, max};
use crate::scratch::Scratch;
use crate::simd::simd_fn;

/// Positions of a block.
pub const BLOCK_POSITIONS: usize = 16;
/// Heads whose scores are computed side by side.
const SIDE: usize = 4;
/// Numbers of an output that are held in registers over a block.
const LANES: usize = 16;
/// Multiplications below which a second thread is not worth waking.
const SMALL: usize = 1 << 16;

/// The keys, or the values, of one block and layer, in the precision in which they are kept.
#[derive(Debug, Clone, Copy)]
pub enum Stored<'a> {
    /// As they are.
    F32(&'a [f32]),
    /// The upper halves of f32 numbers.
    Bf16(&'a [u16]),
    /// Whole numbers, each times the scale of its head and position, `[g, p]`.
    Int8(&'a [i8], &'a [f32]),
}

/// One block of one layer.
#[derive(Debug, Clone, Copy)]
pub struct PagedBlock<'a> {
    /// Keys `[g, d, p]`.
    pub keys: Stored<'a>,
    /// Values `[g, p, d]`.
    pub values: Stored<'a>,
}

/// What one query sees.
#[derive(Debug, Clone, Copy)]
pub struct PagedQuery<'a> {
    /// The blocks of its sequence, from position 0 on.
    pub blocks: &'a [PagedBlock<'a>],
    /// Its own position, the last that it sees.
    pub position: usize,
    /// The first position that it sees.
    pub start: usize,
}

/// Shape of the heads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PagedShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Factor on the scores, usually `1/√d`.
    pub scale: f32,
}

/// `out[n, h, d] = softmax(scale · q kᵀ − slopes[h] · distance) v` of `q[n, h, d]`, each over what its query sees; without slopes
/// (`ALiBi`, arXiv:2108.12409) nothing is taken off.
///
/// # Panics
/// If a slice does not have the length that the shapes say, or a query's blocks end before its position.
pub fn paged_attention(
    out: &mut [f32],
    q: &[f32],
    queries: &[PagedQuery<'_>],
    slopes: Option<&[f32]>,
    shape: PagedShape,
) {
    let PagedShape { heads, kv_heads, head_dim, .. } = shape;
    assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "{heads} heads over {kv_heads} key heads");
    expect_len("q", q.len(), queries.len() * heads * head_dim);
    expect_len("out", out.len(), q.len());
    if let Some(slopes) = slopes {
        expect_len("slopes", slopes.len(), heads);
    }
    for query in queries {
        query.check(shape);
    }
    let (width, group) = (heads / kv_heads * head_dim, heads / kv_heads);
    if width == 0 {
        return;
    }
    let work: usize = queries.iter().map(|query| query.position + 1).sum::<usize>() * heads * head_dim;
    let least = if work < SMALL { usize::MAX } else { 1 };
    let tasks = out.par_chunks_mut(width).zip(q.par_chunks(width)).enumerate().with_min_len(least);
    tasks.for_each(|(task, (out, q))| {
        let (n, head) = (task / kv_heads, task % kv_heads);
        let slopes = slopes.map_or(&[][..], |slopes| &slopes[head * group..][..group]);
        one_group(out, q, (&queries[n], head), slopes, shape);
    });
}

impl PagedQuery<'_> {
    fn check(&self, shape: PagedShape) {
        let size = shape.kv_heads * shape.head_dim * BLOCK_POSITIONS;
        let needed = self.position / BLOCK_POSITIONS + 1;
        assert!(self.start <= self.position, "a query at {} sees keys from {} on", self.position, self.start);
        assert!(self.blocks.len() >= needed, "{} blocks, expected {needed}", self.blocks.len());
        for block in &self.blocks[..needed] {
            expect_len("keys of a block", block.keys.len(), size);
            expect_len("values of a block", block.values.len(), size);
        }
    }
}

impl Stored<'_> {
    fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
            Self::Int8(values, _) => values.len(),
        }
    }

    /// The tile of one head: where it lies, or written out into `scratch`.
    #[inline(always)]
    fn tile<'a>(&'a self, head: usize, scratch: &'a mut [f32], keys: bool) -> &'a [f32] {
        let size = scratch.len();
        let range = head * size..(head + 1) * size;
        match self {
            Self::F32(values) => return &values[range],
            Self::Bf16(values) => {
                for (to, from) in scratch.iter_mut().zip(&values[range]) {
                    *to = f32::from_bits(u32::from(*from) << 16);
                }
            }
            Self::Int8(values, scales) => {
                let (scales, width) = (&scales[head * BLOCK_POSITIONS..][..BLOCK_POSITIONS], size / BLOCK_POSITIONS);
                for (n, (to, from)) in scratch.iter_mut().zip(&values[range]).enumerate() {
                    let position = if keys { n % BLOCK_POSITIONS } else { n / width };
                    *to = f32::from(*from) * scales[position];
                }
            }
        }
        scratch
    }
}

simd_fn! {
/// The query heads that share one key head.
fn one_group<'a>(
    out: &'a mut [f32],
    q: &'a [f32],
    what: (&'a PagedQuery<'a>, usize),
    slopes: &'a [f32],
    shape: PagedShape,
) {
    let (query, head) = what;
    let (d, first, last) = (shape.head_dim, query.start / BLOCK_POSITIONS, query.position / BLOCK_POSITIONS);
    let room = (last + 1 - first) * BLOCK_POSITIONS;
    let group = q.len() / d;
    let mut scratch = Scratch::take(group * room + d * BLOCK_POSITIONS);
    let (scores, tile) = scratch.split_at_mut(group * room);
    for (n, block) in query.blocks[first..=last].iter().enumerate() {
        let keys = block.keys.tile(head, tile, true);
        for (q, scores) in q.chunks(SIDE * d).zip(scores.chunks_mut(SIDE * room)) {
            let at = (n * BLOCK_POSITIONS, room);
            if q.len() == SIDE * d {
                score::<SIDE>(scores, at, q, (keys, shape.scale));
            } else {
                for (q, scores) in q.chunks_exact(d).zip(scores.chunks_exact_mut(room)) {
                    score::<1>(scores, at, q, (keys, shape.scale));
                }
            }
        }
    }
    let visible = query.start - first * BLOCK_POSITIONS..query.position + 1 - first * BLOCK_POSITIONS;
    out.fill(0.0);
    for (h, scores) in scores.chunks_exact_mut(room).enumerate() {
        scores[..visible.start].fill(0.0);
        scores[visible.end..].fill(0.0);
        let slope = slopes.get(h).copied().unwrap_or(0.0);
        let inverse = softmax(&mut scores[visible.clone()], slope);
        for score in scores.iter_mut() {
            *score *= inverse;
        }
    }
    for (n, block) in query.blocks[first..=last].iter().enumerate() {
        let seen = (query.position + 1 - (first + n) * BLOCK_POSITIONS).min(BLOCK_POSITIONS);
        let values = block.values.tile(head, tile, false);
        for (out, scores) in out.chunks_exact_mut(d).zip(scores.chunks_exact(room)) {
            mix(out, &scores[n * BLOCK_POSITIONS..][..seen], values);
        }
    }
}
}

/// The scores of a block's positions for `H` heads, each to the place `at` of its own `room` scores.
#[inline(always)]
fn score<const H: usize>(scores: &mut [f32], (at, room): (usize, usize), q: &[f32], (keys, scale): (&[f32], f32)) {
    let d = q.len() / H;
    let mut sums = [[0.0_f32; BLOCK_POSITIONS]; H];
    for (i, keys) in keys.as_chunks::<BLOCK_POSITIONS>().0[..d].iter().enumerate() {
        for (h, sums) in sums.iter_mut().enumerate() {
            let q = q[h * d + i];
            for p in 0..BLOCK_POSITIONS {
                sums[p] += q * keys[p];
            }
        }
    }
    for (h, sums) in sums.iter().enumerate() {
        for (score, sum) in scores[h * room + at..][..BLOCK_POSITIONS].iter_mut().zip(sums) {
            *score = sum * scale;
        }
    }
}

/// Turns scores into exponentials, the last one being the query's own; returns one over their sum.
#[inline(always)]
fn softmax(scores: &mut [f32], slope: f32) -> f32 {
    if slope != 0.0 {
        let own = scores.len() - 1;
        for (n, score) in scores.iter_mut().enumerate() {
            *score -= slope * (own - n) as f32;
        }
    }
    let top = max(scores);
    1.0 / exp_in_place(scores, 1.0, top)
}

/// Adds the values of a block's positions by their weights.
#[inline(always)]
fn mix(out: &mut [f32], weights: &[f32], values: &[f32]) {
    let d = out.len();
    let (vectors, rest) = out.as_chunks_mut::<LANES>();
    for (n, out) in vectors.iter_mut().enumerate() {
        let mut sums = *out;
        for (weight, values) in weights.iter().zip(values.chunks_exact(d)) {
            let values = &values[n * LANES..][..LANES];
            for lane in 0..LANES {
                sums[lane] += weight * values[lane];
            }
        }
        *out = sums;
    }
    let begin = d - rest.len();
    for (weight, values) in weights.iter().zip(values.chunks_exact(d)) {
        for (out, value) in rest.iter_mut().zip(&values[begin..]) {
            *out += weight * value;
        }
    }
}
