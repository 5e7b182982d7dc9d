//! Causal attention over keys and values that lie in blocks (arXiv:2309.06180, section 4).
//!
//! Queries of one sequence that follow each other are computed together, so that a block is read once for all of them. Each has sums of its own,
//! in one order: its bits depend on its own sequence alone, not on which other queries are computed beside it.
//!
//! Shapes: h query head, g key head, d head width, p position inside a block. Of one block and layer, keys are `[g, d, p]`, so
//! that the scores of a block's positions are one vector, and values `[g, p, d]`.

mod products;
mod run;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::ops::Range;

use rayon::prelude::*;

use crate::expect_len;
use crate::product::ViewMut;
use crate::simd::simd_fn;
use run::Run;

/// Positions of a block.
pub const BLOCK_POSITIONS: usize = 16;
/// Rows of a task, a query's heads each: enough that reading a block is little beside its products.
const ROWS: usize = 32;
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
/// (`ALiBi`, arXiv:2108.12409) nothing is taken off. Queries of one sequence are given the very same slice of blocks, and stand next to each other.
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
    if heads * head_dim == 0 {
        return;
    }
    let work: usize = queries.iter().map(|query| query.position + 1).sum::<usize>() * heads * head_dim;
    let least = if work < SMALL { usize::MAX } else { 1 };
    let runs = runs(queries, (ROWS * kv_heads / heads).max(1));
    let out = ViewMut::rows(out, heads * head_dim);
    (0..runs.len() * kv_heads).into_par_iter().with_min_len(least).for_each(|task| {
        let run = &runs[task / kv_heads];
        let run = Run { queries: &queries[run.clone()], first: run.start, head: task % kv_heads, shape };
        // SAFETY: a task writes the rows of its own queries and the columns of its own heads.
        unsafe { run.attend(out, q, slopes) };
    });
}

/// The queries, cut where the sequence changes and after `most`.
fn runs(queries: &[PagedQuery<'_>], most: usize) -> Vec<Range<usize>> {
    let (mut runs, mut begin) = (Vec::new(), 0);
    for end in 1..=queries.len() {
        let goes_on = queries.get(end).is_some_and(|next| std::ptr::eq(next.blocks, queries[begin].blocks));
        if !goes_on || end - begin == most {
            runs.push(begin..end);
            begin = end;
        }
    }
    runs
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
    fn tile<'a>(&'a self, head: usize, scratch: &'a mut [f32], keys: bool) -> &'a [f32] {
        let size = scratch.len();
        let range = head * size..(head + 1) * size;
        match self {
            Self::F32(values) => return &values[range],
            Self::Bf16(values) => widen(scratch, &values[range]),
            Self::Int8(values, scales) => {
                scaled(scratch, &values[range], &scales[head * BLOCK_POSITIONS..][..BLOCK_POSITIONS], keys);
            }
        }
        scratch
    }
}

simd_fn! {
fn widen<'a>(to: &'a mut [f32], from: &'a [u16]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(*from) << 16);
    }
}
}

simd_fn! {
fn scaled<'a>(to: &'a mut [f32], from: &'a [i8], scales: &'a [f32], keys: bool) {
    let width = to.len() / BLOCK_POSITIONS;
    for (n, (to, from)) in to.iter_mut().zip(from).enumerate() {
        *to = f32::from(*from) * scales[if keys { n % BLOCK_POSITIONS } else { n / width }];
    }
}
}
