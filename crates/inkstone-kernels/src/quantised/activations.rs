//! The other operand of a product: rows in eight bits, laid out as tiles read them.
//!
//! Rows stand in tiles of the height that a path computes at a time; the last tile has the least height in [`HEIGHTS`] that its rows fit in, and
//! zeros where it has none. A tile is a row of groups over the inputs, each, in words of four bytes: the quads, for each one word of every row;
//! then the scale of every row, then [what its sums begin with](GROUP_EXTRA), then what a format's `m · t` is multiplied with. For weights in bfloat16 it
//! is a row of pairs, for each one word of every row.

use rayon::prelude::*;

use super::packed::QUAD;
use crate::bf16::rounded;
use crate::scratch::Scratch;
use crate::simd::simd_fn;

/// Numbers that share a scale.
const SHARED: usize = 32;
/// The largest integer.
const TOP: f32 = 127.0;
/// Adding it to a small number leaves the nearest integer (ties to even) in the low bits.
const ROUNDING: f32 = 12_582_912.0;
/// Heights of tiles.
pub(super) const HEIGHTS: [usize; 7] = [1, 2, 3, 4, 6, 8, 12];
/// Words of a group and row after its quads: `scale`; `−zero · Σ q`, an integer; `scale · Σ q`.
pub(super) const GROUP_EXTRA: usize = 3;

/// Rows `[rows, inputs]`, each 32 numbers as integers with one scale; what is not finite makes the whole row's results not finite.
pub(super) struct Activations {
    words: Scratch,
    rows: usize,
    tallest: usize,
    words_per_row: usize,
}

/// Some rows.
pub(super) struct RowTile<'a> {
    pub(super) words: &'a [u32],
    /// The first row, and how many there are.
    pub(super) first: usize,
    pub(super) rows: usize,
    /// Rows that there is room for.
    pub(super) height: usize,
}

/// How a path wants rows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct RowLayout {
    /// Height of a tile at most, one of [`HEIGHTS`].
    pub(super) tallest: usize,
    pub(super) numbers: Numbers,
}

/// What becomes of the numbers of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Bytes in groups.
    Bytes {
        /// Inputs of a group.
        group: usize,
        /// Integer that stands for 0 in what the path multiplies with.
        zero: u8,
    },
    /// Pairs of bfloat16.
    Pairs,
}

impl RowLayout {
    fn words_per_row(self, inputs: usize) -> usize {
        match self.numbers {
            Numbers::Bytes { group, .. } => inputs / group * (group / QUAD + GROUP_EXTRA),
            Numbers::Pairs => inputs / 2,
        }
    }
}

impl Activations {
    /// Rounds the rows of `x[rows, inputs]`; `inputs` is a multiple of 32.
    pub(super) fn new(x: &[f32], inputs: usize, layout: RowLayout) -> Self {
        let (rows, tallest) = (x.len() / inputs, layout.tallest);
        let words_per_row = layout.words_per_row(inputs);
        let slots = rows / tallest * tallest + height(rows % tallest);
        let mut words = Scratch::take(slots * words_per_row);
        if rows <= tallest {
            pack_rows(words.words(), x, inputs, layout);
        } else {
            let tiles = words.words().par_chunks_mut(tallest * words_per_row).zip(x.par_chunks(tallest * inputs));
            tiles.for_each(|(words, x)| pack_rows(words, x, inputs, layout));
        }
        Self { words, rows, tallest, words_per_row }
    }

    /// The rows in tiles.
    pub(super) fn tiles(&mut self) -> RowTiles<'_> {
        let &mut Self { rows, tallest, words_per_row, ref mut words } = self;
        RowTiles { words: words.words(), rows, tallest, words_per_row }
    }
}

/// Rows in tiles.
#[derive(Clone, Copy)]
pub(super) struct RowTiles<'a> {
    words: &'a [u32],
    rows: usize,
    tallest: usize,
    words_per_row: usize,
}

impl<'a> RowTiles<'a> {
    /// Tile `n`, if there are so many.
    pub(super) fn get(&self, n: usize) -> Option<RowTile<'a>> {
        let first = n * self.tallest;
        let rows = self.rows.checked_sub(first).filter(|&left| left > 0)?.min(self.tallest);
        let height = height(rows);
        let words = &self.words[first * self.words_per_row..][..height * self.words_per_row];
        Some(RowTile { words, first, rows, height })
    }
}

/// The height of a tile of so many rows; 0 of none.
fn height(rows: usize) -> usize {
    if rows == 0 { 0 } else { HEIGHTS.into_iter().find(|&height| height >= rows).unwrap_or(rows) }
}

/// Packs the rows of a tile.
fn pack_rows(words: &mut [u32], x: &[f32], inputs: usize, layout: RowLayout) {
    let height = words.len() / layout.words_per_row(inputs);
    if x.len() < height * inputs {
        words.fill(0);
    }
    match layout.numbers {
        Numbers::Bytes { group, zero } => pack_bytes(words, x, (inputs, height), (group, zero)),
        Numbers::Pairs => pack_pairs(words, x, inputs, height),
    }
}

simd_fn! {
    fn pack_pairs<'a>(words: &'a mut [u32], x: &'a [f32], inputs: usize, height: usize) {
        for (row, x) in x.chunks_exact(inputs).enumerate() {
            for (words, &[low, high]) in words.chunks_exact_mut(height).zip(x.as_chunks::<2>().0) {
                words[row] = rounded(low).to_bits() >> 16 | rounded(high).to_bits();
            }
        }
    }
}

simd_fn! {
    fn pack_bytes<'a>(words: &'a mut [u32], x: &'a [f32], sizes: (usize, usize), of: (usize, u8)) {
        let ((inputs, height), (group, zero)) = (sizes, of);
        let (quads, each) = (group / QUAD, group / QUAD + GROUP_EXTRA);
        for (row, x) in x.chunks_exact(inputs).enumerate() {
            let shared = words.chunks_exact_mut(SHARED / group * each * height);
            for (words, x) in shared.zip(x.as_chunks::<SHARED>().0) {
                let mut integers = [0; SHARED];
                let scale = round_shared(x, &mut integers);
                let groups = words.chunks_exact_mut(each * height).zip(integers.chunks_exact(group));
                for (words, integers) in groups {
                    let mut sum = 0;
                    for (quad, q) in integers.as_chunks::<QUAD>().0.iter().enumerate() {
                        words[quad * height + row] = u32::from_le_bytes(q.map(|q| q as u8));
                        sum += q.iter().map(|&q| i32::from(q)).sum::<i32>();
                    }
                    words[quads * height + row] = scale.to_bits();
                    words[(quads + 1) * height + row] = (-i32::from(zero) * sum) as u32;
                    words[(quads + 2) * height + row] = (scale * sum as f32).to_bits();
                }
            }
        }
    }
}

/// Rounds numbers that share a scale, and returns it.
#[inline(always)]
fn round_shared(x: &[f32; SHARED], integers: &mut [i8; SHARED]) -> f32 {
    let (mut most, mut poison) = (0.0_f32, 0.0_f32);
    for &x in x {
        most = if x.abs() > most { x.abs() } else { most };
        poison += x * 0.0;
    }
    let inverse = if most > 0.0 { TOP / most } else { 0.0 };
    for (integer, &x) in integers.iter_mut().zip(x) {
        *integer = (x * inverse + ROUNDING).to_bits() as i8;
    }
    most / TOP + poison
}
