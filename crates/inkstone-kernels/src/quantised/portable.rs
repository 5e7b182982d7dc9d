//! The tile in plain loops.

use half::f16;

use super::activations::{GROUP_EXTRA, RowTile};
use super::packed::{PAIRS, PANEL, PanelLayout, QUAD};
use super::product::{Out, SIDE};

/// Row 0 of `rows`, the only one, times the outputs of each panel. The order of sums is that of the vector tiles.
pub(super) fn tile(panels: [&[u8]; SIDE], layout: &PanelLayout, rows: &RowTile<'_>, out: &mut Out) {
    let words = layout.group / QUAD + GROUP_EXTRA;
    for (panel, out) in panels.iter().zip(out[0].as_chunks_mut::<PANEL>().0) {
        let mut groups = rows.words.chunks_exact(words);
        for block in panel.chunks_exact(layout.bytes) {
            for (g, x) in (0..layout.groups).zip(&mut groups) {
                add_group(out, block, (layout, g), x);
            }
        }
    }
}

/// [`tile`] of weights in bfloat16.
pub(super) fn pairs(panels: [&[u8]; SIDE], rows: &RowTile<'_>, out: &mut Out) {
    for (panel, out) in panels.iter().zip(out[0].as_chunks_mut::<PANEL>().0) {
        for (vector, &x) in panel.chunks_exact(PAIRS).zip(rows.words) {
            for (out, w) in out.iter_mut().zip(vector.as_chunks::<4>().0) {
                let w = u32::from_le_bytes(*w);
                for shift in [16, 0] {
                    let high = |word: u32| f32::from_bits(word << shift & 0xffff_0000);
                    *out += high(w) * high(x);
                }
            }
        }
    }
}

fn add_group(out: &mut [f32; PANEL], block: &[u8], (layout, g): (&PanelLayout, usize), x: &[u32]) {
    let (quads, extra) = x.split_at(layout.group / QUAD);
    let (scale, start, sum) = (f32::from_bits(extra[0]), extra[1] as i32, f32::from_bits(extra[2]));
    let (scales, offsets) = scales(block, layout, g);
    let integers = &block[layout.integers_at + g * layout.integers_bytes..][..layout.integers_bytes];
    let sums = sums(integers, layout.nibble, quads, start);
    for lane in 0..PANEL {
        out[lane] += sums[lane] as f32 * (scales[lane] * scale);
        if layout.affine {
            out[lane] += offsets[lane] * sum;
        }
    }
}

/// The scale and the offset of each output in group `g`.
fn scales(block: &[u8], layout: &PanelLayout, g: usize) -> ([f32; PANEL], [f32; PANEL]) {
    let half = |n: usize| f16::from_le_bytes([block[2 * n], block[2 * n + 1]]).to_f32();
    let mut scales: [f32; PANEL] = std::array::from_fn(half);
    let mut offsets = [0.0; PANEL];
    if layout.affine {
        offsets = std::array::from_fn(|lane| half(PANEL + lane));
    }
    if layout.factors {
        let factors = &block[layout.factors_at + g * layout.factors_bytes..][..layout.factors_bytes];
        scales.iter_mut().zip(factors).for_each(|(scale, &factor)| *scale *= f32::from(factor as i8));
        offsets.iter_mut().zip(factors.iter().skip(PANEL)).for_each(|(offset, &factor)| *offset *= f32::from(factor));
    }
    (scales, offsets)
}

/// `start + Σ u·q` of each output.
fn sums(integers: &[u8], nibble: bool, quads: &[u32], start: i32) -> [i32; PANEL] {
    let mut sums = [start; PANEL];
    for (n, quad) in quads.iter().enumerate() {
        let (at, shift, mask) = quad_at(n, nibble);
        for (sum, u) in sums.iter_mut().zip(integers[at..].as_chunks::<QUAD>().0) {
            for (u, q) in u.iter().zip(quad.to_le_bytes()) {
                *sum += i32::from(u >> shift & mask) * i32::from(q as i8);
            }
        }
    }
    sums
}

/// Where in a group its quad `n` lies, and which bits are its own.
fn quad_at(n: usize, nibble: bool) -> (usize, usize, u8) {
    if nibble { (n / 2 * PANEL * QUAD, n % 2 * 4, 15) } else { (n * PANEL * QUAD, 0, 255) }
}

/// Shows the numbers of a block: output, place in the block, value.
pub(super) fn each_value(block: &[u8], layout: &PanelLayout, mut see: impl FnMut(usize, usize, f32)) {
    for g in 0..layout.groups {
        let (scales, offsets) = scales(block, layout, g);
        let integers = &block[layout.integers_at + g * layout.integers_bytes..][..layout.integers_bytes];
        for n in 0..layout.group / QUAD {
            let (at, shift, mask) = quad_at(n, layout.nibble);
            for (lane, quad) in integers[at..].as_chunks::<QUAD>().0[..PANEL].iter().enumerate() {
                for (q, u) in quad.iter().enumerate() {
                    let steps = f32::from(u >> shift & mask) - f32::from(layout.zero);
                    see(lane, g * layout.group + n * QUAD + q, scales[lane] * steps + offsets[lane]);
                }
            }
        }
    }
}
