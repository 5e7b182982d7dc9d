//! From numbers to blocks.

use half::f16;
use rayon::prelude::*;

use super::BlockFormat;
use super::parts::Parts;
use super::search::{affine, importance_of, symmetric};

/// Six-bit factors go up to this.
const TOP_FACTOR: f32 = 63.0;

/// A block whose scales are chosen, ready to round numbers one after the other: what quantisers that look at each error need.
#[derive(Debug, Clone)]
pub struct BlockQuantiser {
    format: BlockFormat,
    parts: Parts,
    /// What a number of each group is multiplied with to get its integer.
    inverse: [f32; 16],
}

impl BlockQuantiser {
    /// Chooses the scales of a block for `values`, one block of a format of [`BlockFormat::WRITTEN`]. Squared errors count with the
    /// `importance` of each number. Without it `Q8_0` and `Q4_0` get exactly ggml's scales, the others a search that favours large numbers
    /// as ggml's does.
    ///
    /// # Panics
    /// If `values` is no block, `importance` has another length, or the format is only read.
    pub fn fit(format: BlockFormat, values: &[f32], importance: Option<&[f32]>) -> Self {
        crate::expect_len("values", values.len(), format.elements());
        assert!(BlockFormat::WRITTEN.contains(&format), "blocks of {} are read only", format.name());
        let weights = importance_of(values, importance);
        let mut fitted = Self { format, parts: Parts::new(), inverse: [0.0; 16] };
        match format {
            BlockFormat::Q8_0 => fitted.one_scale(largest(values).abs() / 127.0),
            BlockFormat::Q4_0 if importance.is_none() => fitted.one_scale(largest(values) / -8.0),
            BlockFormat::Q4_0 => fitted.one_scale(symmetric(values, &weights, 8.0)),
            BlockFormat::Q6_K => fitted.signed_factors(values, &weights),
            _ => fitted.affine_factors(values, &weights),
        }
        fitted
    }

    /// The number nearest to `value` that place `n` of the block can hold; it is remembered.
    pub fn round(&mut self, n: usize, value: f32) -> f32 {
        let layout = self.format.layout();
        let g = n / layout.group;
        let (scale, offset) = self.parts.group(g);
        let (offset, zero) = if layout.affine { (offset, 0.0) } else { (0.0, f32::from(layout.zero)) };
        let steps = (value - offset) * self.inverse[g];
        let u = if self.format == BlockFormat::Q4_0 { (steps + zero + 0.5).floor() } else { steps.round() + zero };
        self.parts.u[n] = u.clamp(0.0, top(self.format)) as u8;
        scale * (f32::from(self.parts.u[n]) - zero) + offset
    }

    /// The bytes of the block.
    ///
    /// # Panics
    /// If `block` has not the length of one.
    pub fn write(&self, block: &mut [u8]) {
        crate::expect_len("block", block.len(), self.format.block_bytes());
        self.parts.put_together(self.format, block);
    }

    fn one_scale(&mut self, d: f32) {
        self.parts.d = f16::from_f32(d);
        self.inverse[0] = inverse(d);
    }

    /// `Q6_K`: a scale for each 16 numbers, in eight bits with a sign.
    fn signed_factors(&mut self, values: &[f32], weights: &[f32]) {
        let mut scales = [0.0; 16];
        for ((scale, values), weights) in scales.iter_mut().zip(values.chunks_exact(16)).zip(weights.chunks_exact(16)) {
            *scale = symmetric(values, weights, 32.0);
        }
        self.parts.d = f16::from_f32(largest(&scales) / -128.0);
        let to_factor = inverse(self.parts.d.to_f32());
        for (g, scale) in scales.iter().enumerate() {
            self.parts.scales[g] = (scale * to_factor).round().clamp(-128.0, 127.0) as i8;
            self.inverse[g] = inverse(self.parts.group(g).0);
        }
    }

    /// `Q4_K` and `Q5_K`: a scale and a minimum for each 32 numbers, in six bits.
    fn affine_factors(&mut self, values: &[f32], weights: &[f32]) {
        let mut fits = [(0.0, 0.0); 8];
        for ((fit, values), weights) in fits.iter_mut().zip(values.chunks_exact(32)).zip(weights.chunks_exact(32)) {
            *fit = affine(values, weights, top(self.format));
        }
        let most = |part: fn(&(f32, f32)) -> f32| fits.iter().map(part).fold(0.0, f32::max);
        self.parts.d = f16::from_f32(most(|fit| fit.0) / TOP_FACTOR);
        self.parts.m = -f16::from_f32(most(|fit| -fit.1) / TOP_FACTOR);
        let (to_scale, to_min) = (inverse(self.parts.d.to_f32()), inverse(self.parts.m.to_f32()));
        for (g, (scale, min)) in fits.iter().enumerate() {
            self.parts.scales[g] = (scale * to_scale).round().clamp(0.0, TOP_FACTOR) as i8;
            self.parts.mins[g] = (min * to_min).round().clamp(0.0, TOP_FACTOR) as u8;
            self.inverse[g] = inverse(self.parts.group(g).0);
        }
    }
}

/// The blocks of `values[rows, width]`, appended to nothing: `format.bytes_of(values.len())` bytes. `importance[width]` weighs the
/// squared errors of each column; see [`BlockQuantiser::fit`].
///
/// # Panics
/// If `width` is no multiple of the format's block, or the format is only read.
pub fn quantise(format: BlockFormat, values: &[f32], width: usize, importance: Option<&[f32]>) -> Vec<u8> {
    let (elements, bytes) = (format.elements(), format.block_bytes());
    assert!(width.is_multiple_of(elements), "rows of {width} don't fill blocks of {elements}");
    let mut blocks = vec![0; values.len() / elements * bytes];
    let rows = blocks.par_chunks_mut((width / elements * bytes).max(1)).zip(values.par_chunks(width.max(1)));
    rows.for_each(|(blocks, values)| {
        for (n, (block, values)) in blocks.chunks_exact_mut(bytes).zip(values.chunks_exact(elements)).enumerate() {
            let importance = importance.map(|importance| &importance[n * elements..][..elements]);
            let mut quantiser = BlockQuantiser::fit(format, values, importance);
            for (place, &value) in values.iter().enumerate() {
                quantiser.round(place, value);
            }
            quantiser.write(block);
        }
    });
    blocks
}

/// The largest integer.
fn top(format: BlockFormat) -> f32 {
    match format {
        BlockFormat::Q8_0 => 255.0,
        BlockFormat::Q5_K => 31.0,
        BlockFormat::Q6_K => 63.0,
        _ => 15.0,
    }
}

/// The number farthest from zero, the first of several.
fn largest(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |most: f32, &value| if value.abs() > most.abs() { value } else { most })
}

fn inverse(x: f32) -> f32 {
    if x == 0.0 { 0.0 } else { 1.0 / x }
}
