//! The other operand of a product: rows in eight bits.

use rayon::prelude::*;

use super::packed::PanelLayout;
use crate::simd::simd_fn;

/// Numbers that share a scale.
const SHARED: usize = 32;
/// The largest integer.
const TOP: f32 = 127.0;
/// Adding it to a small number leaves the nearest integer (ties to even) in the low bits.
const ROUNDING: f32 = 12_582_912.0;
/// Rows of a task.
const ROWS: usize = 8;

/// Rows `[rows, inputs]`, each 32 numbers as integers with one scale; what is not finite makes the whole row's results not finite.
#[derive(Debug)]
pub(super) struct Activations {
    pub(super) integers: Vec<i8>,
    /// `[rows, inputs / group]`.
    pub(super) groups: Vec<Group>,
    pub(super) inputs: usize,
    pub(super) groups_per_row: usize,
}

/// The numbers of a group, `scale · q`.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(super) struct Group {
    pub(super) scale: f32,
    /// `−zero · Σ q`: where the integer sums of a format with that zero begin.
    pub(super) start: i32,
    /// `scale · Σ q`: what a format's `m · t` is multiplied with.
    pub(super) sum: f32,
}

impl Activations {
    /// Rounds the rows of `x[rows, inputs]`; `inputs` is a multiple of 32.
    pub(super) fn new(x: &[f32], inputs: usize, layout: &PanelLayout) -> Self {
        let groups_per_row = inputs / layout.group;
        let rows = x.len() / inputs;
        let mut integers = vec![0; x.len()];
        let mut groups = vec![Group::default(); rows * groups_per_row];
        let tasks = x.par_chunks(ROWS * inputs).zip(integers.par_chunks_mut(ROWS * inputs));
        let tasks = tasks.zip(groups.par_chunks_mut(ROWS * groups_per_row));
        let (group, zero) = (layout.group, i32::from(layout.zero));
        if rows <= ROWS {
            round_rows(x, &mut integers, &mut groups, group, zero);
        } else {
            tasks.for_each(|((x, integers), groups)| round_rows(x, integers, groups, group, zero));
        }
        Self { integers, groups, inputs, groups_per_row }
    }
}

simd_fn! {
    fn round_rows<'a>(x: &'a [f32], integers: &'a mut [i8], groups: &'a mut [Group], group: usize, zero: i32) {
        let (x, _) = x.as_chunks::<SHARED>();
        let (integers, _) = integers.as_chunks_mut::<SHARED>();
        for ((x, integers), groups) in x.iter().zip(integers).zip(groups.chunks_exact_mut(SHARED / group)) {
            let scale = round_shared(x, integers);
            for (group, q) in groups.iter_mut().zip(integers.chunks_exact(group)) {
                let mut sum = 0;
                for &q in q {
                    sum += i32::from(q);
                }
                *group = Group { scale, start: -zero * sum, sum: scale * sum as f32 };
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
