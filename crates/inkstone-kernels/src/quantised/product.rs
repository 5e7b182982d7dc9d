//! Products of rows with packed weights.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::activations::{Activations, HEIGHTS, Numbers, RowLayout, RowTile, RowTiles};
use super::packed::{Contents, PANEL, Packed};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::isa::{Isa, isa};
use crate::profile::{Work, span};

/// Bytes of weights per task.
const TASK_BYTES: usize = 1 << 16;
/// Panels of a tile.
pub(super) const SIDE: usize = 2;
/// Rows of a tile at most.
pub(super) const TALLEST: usize = HEIGHTS[HEIGHTS.len() - 1];

/// What a tile computes: for each row the outputs of its panels.
pub(super) type Out = [[f32; SIDE * PANEL]; TALLEST];

/// Which instructions compute a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with dot products of bytes, or of bfloat16.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Path {
    /// The path for panels of these contents.
    #[cfg(target_arch = "x86_64")]
    fn of(contents: &Contents) -> Self {
        static VNNI: OnceLock<bool> = OnceLock::new();
        let vnni = || std::is_x86_feature_detected!("avx512vnni") && std::is_x86_feature_detected!("avx512vl");
        match (isa(), contents) {
            (Isa::Portable, _) => Self::Portable,
            (Isa::Avx512Bf16, Contents::Pairs) => Self::Avx512,
            (Isa::Avx512 | Isa::Avx512Bf16, Contents::Blocks(_)) if *VNNI.get_or_init(vnni) => Self::Avx512,
            _ => Self::Avx2,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of(_contents: &Contents) -> Self {
        Self::Portable
    }

    /// Rows of a tile at most.
    fn tallest(self) -> usize {
        match self {
            Self::Portable => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => 4,
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => TALLEST,
        }
    }

    /// The form in which `rows` rows are multiplied with weights of these contents. With AVX2 weights whose zero is 128 are taken with their sign.
    fn rows(self, contents: &Contents, rows: usize) -> RowLayout {
        let numbers = match contents {
            Contents::Pairs => Numbers::Pairs,
            Contents::Blocks(layout) => {
                let signed = layout.zero == 128 && self.tallest() == 4;
                Numbers::Bytes { group: layout.group, zero: if signed { 0 } else { layout.zero } }
            }
        };
        RowLayout { tallest: even_height(rows, self.tallest()), numbers }
    }
}

/// The height of as few tiles as `rows` need that are at most `tallest`, cut evenly: weights are unpacked for every tile.
fn even_height(rows: usize, tallest: usize) -> usize {
    let even = rows.div_ceil(rows.div_ceil(tallest).max(1));
    HEIGHTS.into_iter().find(|&height| height >= even).map_or(tallest, |height| height.min(tallest))
}

/// `y[r, o] = Σᵢ x[r, i] · w[o, i]` for `rows` rows, with `x` rounded to eight bits, each 32 numbers with a scale of their own, or to bfloat16 as the
/// weights. What is computed for a row does not depend on the others.
///
/// # Panics
/// If a slice does not have the length that the shapes say.
pub fn quantised_linear(y: &mut [f32], x: &[f32], w: &Packed, rows: usize) {
    quantised_linears(&mut [y], x, &[w], rows);
}

/// [`quantised_linear`] of the same rows with several weights.
///
/// # Panics
/// As [`quantised_linear`], and if there are not as many results as weights.
pub fn quantised_linears(ys: &mut [&mut [f32]], x: &[f32], ws: &[&Packed], rows: usize) {
    assert_eq!(ys.len(), ws.len(), "as many results as weights");
    for (y, w) in ys.iter().zip(ws) {
        crate::expect_len("x", x.len(), rows * w.shape()[1]);
        crate::expect_len("y", y.len(), rows * w.shape()[0]);
    }
    if x.is_empty() {
        return ys.iter_mut().for_each(|y| y.fill(0.0));
    }
    let _span = span("quantised_linear", || work(x, ws, rows));
    let row_layout = |w: &Packed| Path::of(&w.contents()).rows(&w.contents(), rows);
    // Weights that take rows in the same form are computed in one go.
    let (mut from, n) = (0, ws.len());
    while from < n {
        let layout = row_layout(ws[from]);
        let to = (from + 1..n).find(|&n| row_layout(ws[n]) != layout).unwrap_or(n);
        let mut x = Activations::new(x, ws[from].shape()[1], layout);
        let targets = ys[from..to].iter_mut().zip(&ws[from..to]).map(|(y, w)| Target::new(y, w, rows));
        let tasks: Vec<Task<'_>> = targets.flat_map(Target::tasks).collect();
        let tiles = x.tiles();
        tasks.into_par_iter().for_each(|task| task.run(tiles));
        from = to;
    }
}

fn work(x: &[f32], ws: &[&Packed], rows: usize) -> Work {
    let of = |w: &&Packed| (2.0 * (rows * w.shape()[0] * w.shape()[1]) as f64, w.bytes() + 4 * rows * w.shape()[0]);
    let (flops, bytes): (Vec<f64>, Vec<usize>) = ws.iter().map(of).unzip();
    let bytes = (size_of_val(x) + bytes.iter().sum::<usize>()) as f64;
    Work { flops: flops.iter().sum(), bytes, ..Work::default() }
}

/// A weight, and where its results go.
#[derive(Clone, Copy)]
struct Target<'a> {
    panels: &'a [u8],
    panel_bytes: usize,
    contents: Contents,
    y: *mut f32,
    rows: usize,
    outputs: usize,
}

/// Some panels of a weight: every task has its own columns of the results.
struct Task<'a> {
    target: Target<'a>,
    /// The first panel, and how many there are.
    first: usize,
    panels: usize,
}

// SAFETY: tasks write to different columns; see `Target::write`.
unsafe impl Send for Task<'_> {}

impl<'a> Target<'a> {
    fn new(y: &mut [f32], w: &'a Packed, rows: usize) -> Self {
        let (panels, panel_bytes) = w.panels();
        Self { panels, panel_bytes, contents: w.contents(), y: y.as_mut_ptr(), rows, outputs: w.shape()[0] }
    }

    fn tasks(self) -> impl Iterator<Item = Task<'a>> {
        let each = (TASK_BYTES / self.panel_bytes).next_multiple_of(SIDE).max(SIDE);
        let panels = self.panels.len() / self.panel_bytes;
        (0..panels).step_by(each).map(move |first| Task { target: self, first, panels: each.min(panels - first) })
    }

    /// Writes the results of a row for the outputs from `first` on.
    ///
    /// # Safety
    /// No two threads write the same columns at once, and `y` holds `rows · outputs` numbers that nobody else looks at.
    unsafe fn write(&self, row: usize, first: usize, values: &[f32; SIDE * PANEL]) {
        let n = values.len().min(self.outputs - first);
        debug_assert!(row < self.rows);
        // SAFETY: `row < rows` and `first + n ≤ outputs`; the rest is the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.y.add(row * self.outputs + first), n) }
    }
}

impl Task<'_> {
    fn run(&self, tiles: RowTiles<'_>) {
        let Target { panels, panel_bytes, contents, .. } = &self.target;
        for first in (self.first..self.first + self.panels).step_by(SIDE) {
            let side = panels[first * panel_bytes..].chunks_exact(*panel_bytes);
            let mut side = side.take(SIDE.min(self.first + self.panels - first));
            let Some(one) = side.next() else { return };
            // A last one without a neighbour is computed twice; its neighbour's outputs are not there to be written.
            let pair = [one, side.next().unwrap_or(one)];
            for tile in (0..).map_while(|n| tiles.get(n)) {
                let mut out: Out = [[0.0; SIDE * PANEL]; TALLEST];
                compute(pair, contents, &tile, &mut out);
                for (n, out) in out[..tile.rows].iter().enumerate() {
                    // SAFETY: a panel is given to one task, and `y` is borrowed for the whole product.
                    unsafe { self.target.write(tile.first + n, first * PANEL, out) };
                }
            }
        }
    }
}

/// Adds a tile to `out`.
fn compute(panels: [&[u8]; SIDE], contents: &Contents, rows: &RowTile<'_>, out: &mut Out) {
    match (Path::of(contents), contents) {
        (Path::Portable, Contents::Blocks(layout)) => portable::tile(panels, layout, rows, out),
        (Path::Portable, Contents::Pairs) => portable::pairs(panels, rows, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the path was chosen because the processor has its instructions.
        (Path::Avx2, Contents::Blocks(layout)) => unsafe { x86::avx2(panels, layout, rows, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Path::Avx2, Contents::Pairs) => unsafe { x86::avx2_pairs(panels, rows, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Path::Avx512, Contents::Blocks(layout)) => unsafe { x86::vnni(panels, layout, rows, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        (Path::Avx512, Contents::Pairs) => unsafe { x86::avx512_pairs(panels, rows, out) },
    }
}
