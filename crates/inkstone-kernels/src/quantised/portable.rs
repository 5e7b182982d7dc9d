//! The tile in plain loops.

use half::f16;

use super::activations::{Activations, Group};
use super::packed::{PANEL, PanelLayout, QUAD};

/// `out[lane]`: row `row` times the outputs of `panel`. The order of sums is that of the vector tiles.
pub(super) fn tile(panel: &[u8], layout: &PanelLayout, x: &Activations, row: usize, out: &mut [f32; PANEL]) {
    let mut quads = x.integers[row * x.inputs..][..x.inputs].as_chunks::<QUAD>().0;
    let mut groups = &x.groups[row * x.groups_per_row..][..x.groups_per_row];
    *out = [0.0; PANEL];
    for block in panel.chunks_exact(layout.bytes) {
        for g in 0..layout.groups {
            let (now, later) = quads.split_at(layout.group / QUAD);
            let (scales, offsets) = scales(block, layout, g);
            let integers = &block[layout.integers_at + g * layout.integers_bytes..][..layout.integers_bytes];
            let sums = sums(integers, layout.nibble, now, groups[0].start);
            add(out, &sums, (&scales, &offsets), (&groups[0], layout.affine));
            (quads, groups) = (later, &groups[1..]);
        }
    }
}

fn add(
    out: &mut [f32; PANEL],
    sums: &[i32; PANEL],
    (scales, offsets): (&[f32; PANEL], &[f32; PANEL]),
    (group, affine): (&Group, bool),
) {
    for lane in 0..PANEL {
        out[lane] += sums[lane] as f32 * (scales[lane] * group.scale);
        if affine {
            out[lane] += offsets[lane] * group.sum;
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
fn sums(integers: &[u8], nibble: bool, quads: &[[i8; QUAD]], start: i32) -> [i32; PANEL] {
    let mut sums = [start; PANEL];
    for (n, quad) in quads.iter().enumerate() {
        let (at, shift, mask) = quad_at(n, nibble);
        for (sum, u) in sums.iter_mut().zip(integers[at..].as_chunks::<QUAD>().0) {
            for (u, &q) in u.iter().zip(quad) {
                *sum += i32::from(u >> shift & mask) * i32::from(q);
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
