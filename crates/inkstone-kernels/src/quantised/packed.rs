//! Blocks laid out for the vector units.
//!
//! Sixteen outputs stand side by side, a *panel*: a vector of sixteen 32-bit lanes holds four consecutive inputs (a *quad*) of each. A panel is a
//! row of blocks over the inputs, each: `d` of the sixteen (half precision), `m` where there is one, for formats with factors those of each
//! group (`s`, then `t`), and the integers, a vector for each quad, or for two quads where they are nibbles (the earlier quad in the low
//! halves). So a panel is read once, from its first byte to its last, and takes the room of the blocks that it was made of (for formats of five
//! and six bits the integers take eight).

use half::bf16;
use rayon::prelude::*;

use super::parts::{Parts, Words};
use super::{BlockFormat, Layout, portable};

/// Outputs of a panel.
pub(super) const PANEL: usize = 16;
/// Inputs of a quad.
pub(super) const QUAD: usize = 4;

/// Bytes of the sixteen pairs of a panel of bfloat16.
pub(super) const PAIRS: usize = PANEL * 4;

/// Weights `[outputs, inputs]` in panels.
#[derive(Debug, Clone)]
pub struct Packed {
    contents: Contents,
    outputs: usize,
    inputs: usize,
    bytes: Vec<u8>,
}

/// What a panel holds.
#[derive(Debug, Clone, Copy)]
pub(super) enum Contents {
    /// Blocks of few bits.
    Blocks(PanelLayout),
    /// Pairs of bfloat16: a vector holds two consecutive inputs of each output.
    Pairs,
}

/// Where things lie in a block of a panel; lengths in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct PanelLayout {
    /// Inputs of a block.
    pub(super) elements: usize,
    /// Groups of a block.
    pub(super) groups: usize,
    /// Inputs of a group.
    pub(super) group: usize,
    /// Integer that stands for 0.
    pub(super) zero: u8,
    /// Whether there are `m` and `t`.
    pub(super) affine: bool,
    /// Whether groups have factors.
    pub(super) factors: bool,
    /// Whether two integers share a byte.
    pub(super) nibble: bool,
    /// Before the factors.
    pub(super) factors_at: usize,
    /// Factors of a group.
    pub(super) factors_bytes: usize,
    /// Before the integers.
    pub(super) integers_at: usize,
    /// Integers of a group.
    pub(super) integers_bytes: usize,
    /// A block.
    pub(super) bytes: usize,
}

impl PanelLayout {
    pub(super) fn of(format: BlockFormat) -> Self {
        let Layout { elements, group, zero, affine, nibble, .. } = format.layout();
        let (groups, factors) = (elements / group, elements > 32);
        let each = if affine { 2 } else { 1 };
        let factors_at = each * PANEL * 2;
        let factors_bytes = if factors { each * PANEL } else { 0 };
        let integers_at = factors_at + groups * factors_bytes;
        let integers_bytes = group * PANEL / if nibble { 2 } else { 1 };
        let bytes = integers_at + groups * integers_bytes;
        Self {
            elements,
            groups,
            group,
            zero,
            affine,
            factors,
            nibble,
            factors_at,
            factors_bytes,
            integers_at,
            integers_bytes,
            bytes,
        }
    }
}

impl Packed {
    /// Packs the `blocks` of `[outputs, inputs]`, row after row.
    ///
    /// # Panics
    /// If `blocks` has another length than these sizes give.
    pub fn new(format: BlockFormat, blocks: &[u8], [outputs, inputs]: [usize; 2]) -> Self {
        let row_bytes = format.bytes_of(inputs).expect("rows fill whole blocks");
        crate::expect_len("blocks", blocks.len(), outputs * row_bytes);
        let layout = PanelLayout::of(format);
        let panel_bytes = inputs / layout.elements * layout.bytes;
        let mut bytes = vec![0; outputs.div_ceil(PANEL) * panel_bytes];
        if panel_bytes > 0 {
            let panels = bytes.par_chunks_mut(panel_bytes).zip(blocks.par_chunks(PANEL * row_bytes));
            panels.for_each(|(panel, rows)| {
                for (lane, row) in rows.chunks_exact(row_bytes).enumerate() {
                    pack_row(format, &layout, panel, (lane, row));
                }
            });
        }
        Self { contents: Contents::Blocks(layout), outputs, inputs, bytes }
    }

    /// Packs `[outputs, inputs]` in bfloat16, least significant byte first; nothing where the inputs are no pairs.
    ///
    /// # Panics
    /// If `numbers` has another length than these sizes give.
    pub fn bf16(numbers: &[u8], [outputs, inputs]: [usize; 2]) -> Option<Self> {
        crate::expect_len("numbers", numbers.len(), 2 * outputs * inputs);
        if inputs == 0 || !inputs.is_multiple_of(2) {
            return None;
        }
        let mut bytes = vec![0; outputs.div_ceil(PANEL) * inputs / 2 * PAIRS];
        let panels = bytes.par_chunks_mut(inputs / 2 * PAIRS).zip(numbers.par_chunks(PANEL * 2 * inputs));
        panels.for_each(|(panel, rows)| {
            for (lane, row) in rows.chunks_exact(2 * inputs).enumerate() {
                let pairs = panel.chunks_exact_mut(PAIRS).zip(row.as_chunks::<4>().0);
                pairs.for_each(|(vector, pair)| vector[lane * 4..][..4].copy_from_slice(pair));
            }
        });
        Some(Self { contents: Contents::Pairs, outputs, inputs, bytes })
    }

    /// `[outputs, inputs]`.
    pub fn shape(&self) -> [usize; 2] {
        [self.outputs, self.inputs]
    }

    /// Memory of the numbers, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The length of the weights of each output.
    pub fn row_norms(&self) -> Vec<f32> {
        let (panels, panel_bytes) = self.panels();
        let squares = panels.par_chunks(panel_bytes.max(1)).flat_map_iter(|panel| {
            let mut sums = [0.0_f64; PANEL];
            self.contents.each_value(panel, |lane, _, value| sums[lane] += f64::from(value) * f64::from(value));
            sums
        });
        let mut norms: Vec<f32> = squares.map(|sum| sum.sqrt() as f32).collect();
        norms.resize(self.outputs, 0.0);
        norms
    }

    /// The weights `[outputs, inputs]`.
    pub fn values(&self) -> Vec<f32> {
        let (panels, panel_bytes) = self.panels();
        let mut values = vec![0.0; self.outputs * self.inputs];
        let rows = values.par_chunks_mut((PANEL * self.inputs).max(1));
        rows.zip(panels.par_chunks(panel_bytes.max(1))).for_each(|(rows, panel)| {
            self.contents.each_value(panel, |lane, input, value| {
                if let Some(to) = rows.get_mut(lane * self.inputs + input) {
                    *to = value;
                }
            });
        });
        values
    }

    /// What the panels hold.
    pub(super) fn contents(&self) -> Contents {
        self.contents
    }

    /// The panels, and the length of each.
    pub(super) fn panels(&self) -> (&[u8], usize) {
        (&self.bytes, self.bytes.len() / self.outputs.div_ceil(PANEL).max(1))
    }
}

impl Contents {
    /// Shows the numbers of a panel: output, input, value.
    fn each_value(self, panel: &[u8], mut see: impl FnMut(usize, usize, f32)) {
        match self {
            Self::Blocks(layout) => {
                for (n, block) in panel.chunks_exact(layout.bytes).enumerate() {
                    portable::each_value(block, &layout, |lane, place, value| {
                        see(lane, n * layout.elements + place, value);
                    });
                }
            }
            Self::Pairs => {
                for (n, number) in panel.as_chunks::<2>().0.iter().enumerate() {
                    let (pair, lane) = (n / (2 * PANEL), n / 2 % PANEL);
                    see(lane, 2 * pair + n % 2, bf16::from_le_bytes(*number).to_f32());
                }
            }
        }
    }
}

fn pack_row(format: BlockFormat, layout: &PanelLayout, panel: &mut [u8], (lane, row): (usize, &[u8])) {
    let mut parts = Parts::new();
    for (to, block) in panel.chunks_exact_mut(layout.bytes).zip(row.chunks_exact(format.block_bytes())) {
        let words = parts.take_apart_but_words(format, block);
        to[2 * lane..][..2].copy_from_slice(&parts.d.to_le_bytes());
        if layout.affine {
            to[2 * (PANEL + lane)..][..2].copy_from_slice(&parts.m.to_le_bytes());
        }
        if layout.factors {
            let factors = to[layout.factors_at..layout.integers_at].chunks_exact_mut(layout.factors_bytes);
            for (g, factors) in factors.enumerate() {
                factors[lane] = parts.scales[g] as u8;
                if layout.affine {
                    factors[PANEL + lane] = parts.mins[g];
                }
            }
        }
        let to = &mut to[layout.integers_at..];
        match words {
            Some(words) => pack_words(to, words, lane),
            None => pack_integers(to, &parts.u[..layout.elements], lane, layout.nibble),
        }
    }
}

/// Puts a lane's words into the vectors.
fn pack_words(to: &mut [u8], words: Words<'_>, lane: usize) {
    const LOW: u32 = 0x0f0f_0f0f;
    let mut vectors = to.chunks_exact_mut(PANEL * QUAD);
    let mut put = |word: u32| {
        if let Some(vector) = vectors.next() {
            vector[lane * QUAD..][..QUAD].copy_from_slice(&word.to_le_bytes());
        }
    };
    let word = |bytes: &[u8; QUAD]| u32::from_le_bytes(*bytes);
    match words {
        Words::Signed(bytes) => bytes.as_chunks().0.iter().for_each(|quad| put(word(quad) ^ 0x8080_8080)),
        Words::Nibbles(bytes, run) => {
            for run in bytes.chunks_exact(run) {
                let pairs = run.as_chunks().0.as_chunks::<2>().0;
                for [a, b] in pairs {
                    put(word(a) & LOW | (word(b) & LOW) << 4);
                }
                for [a, b] in pairs {
                    put(word(a) >> 4 & LOW | word(b) & !LOW);
                }
            }
        }
    }
}

fn pack_integers(to: &mut [u8], u: &[u8], lane: usize, nibble: bool) {
    let (quads, _) = u.as_chunks::<QUAD>();
    let vectors = to.chunks_exact_mut(PANEL * QUAD);
    if nibble {
        for (vector, pair) in vectors.zip(quads.as_chunks::<2>().0) {
            let both = u32::from_le_bytes(pair[0]) | u32::from_le_bytes(pair[1]) << 4;
            vector[lane * QUAD..][..QUAD].copy_from_slice(&both.to_le_bytes());
        }
    } else {
        vectors.zip(quads).for_each(|(vector, quad)| vector[lane * QUAD..][..QUAD].copy_from_slice(quad));
    }
}
