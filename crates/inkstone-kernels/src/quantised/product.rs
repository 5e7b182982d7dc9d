//! Products of rows with packed weights.

use std::sync::OnceLock;

use rayon::prelude::*;

use super::activations::Activations;
use super::packed::{PANEL, Packed, PanelLayout};
use super::portable;
#[cfg(target_arch = "x86_64")]
use super::x86;
use crate::isa::{Isa, isa};

/// Bytes of weights per task.
const TASK_BYTES: usize = 1 << 16;

/// Which instructions compute a tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Path {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with dot products of bytes.
    #[cfg(target_arch = "x86_64")]
    Vnni,
}

#[cfg(target_arch = "x86_64")]
fn path() -> Path {
    static CHOSEN: OnceLock<Path> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let vnni = std::is_x86_feature_detected!("avx512vnni") && std::is_x86_feature_detected!("avx512vl");
        match isa() {
            Isa::Portable => Path::Portable,
            Isa::Avx512 | Isa::Avx512Bf16 if vnni => Path::Vnni,
            _ => Path::Avx2,
        }
    })
}

#[cfg(not(target_arch = "x86_64"))]
fn path() -> Path {
    Path::Portable
}

/// `y[r, o] = Σᵢ x[r, i] · w[o, i]` for `rows` rows, with `x` rounded to eight bits, each 32 numbers with a scale of their own. What is
/// computed for a row does not depend on the others.
///
/// # Panics
/// If a slice does not have the length that the shapes say.
pub fn quantised_linear(y: &mut [f32], x: &[f32], w: &Packed, rows: usize) {
    let [outputs, inputs] = w.shape();
    crate::expect_len("x", x.len(), rows * inputs);
    crate::expect_len("y", y.len(), rows * outputs);
    if x.is_empty() || y.is_empty() {
        return y.fill(0.0);
    }
    let layout = PanelLayout::of(w.format());
    let x = Activations::new(x, inputs, &layout);
    let (panels, panel_bytes) = w.panels();
    let per_task = (TASK_BYTES / panel_bytes).max(1);
    let target = Target { y: y.as_mut_ptr(), rows, outputs };
    panels.par_chunks(per_task * panel_bytes).enumerate().for_each(|(task, panels)| {
        for (n, panel) in panels.chunks_exact(panel_bytes).enumerate() {
            panel_times_rows(panel, &layout, &x, &target, (task * per_task + n) * PANEL);
        }
    });
}

/// Where the results go: every panel has its own columns.
struct Target {
    y: *mut f32,
    rows: usize,
    outputs: usize,
}

// SAFETY: panels write to different columns; see `Target::write`.
unsafe impl Sync for Target {}

impl Target {
    /// Writes the results of a row for the outputs from `first` on.
    ///
    /// # Safety
    /// No two threads write the same columns at once, and `y` holds `rows · outputs` numbers that nobody else looks at.
    unsafe fn write(&self, row: usize, first: usize, values: &[f32; PANEL]) {
        let n = PANEL.min(self.outputs - first);
        debug_assert!(row < self.rows);
        // SAFETY: `row < rows` and `first + n ≤ outputs`; the rest is the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), self.y.add(row * self.outputs + first), n) }
    }
}

fn panel_times_rows(panel: &[u8], layout: &PanelLayout, x: &Activations, target: &Target, first: usize) {
    let mut row = 0;
    while row < target.rows {
        let mut out = [[0.0; PANEL]; MOST];
        let n = tile(panel, layout, x, (row, target.rows - row), &mut out);
        for (n, out) in out[..n].iter().enumerate() {
            // SAFETY: a panel is given to one task, and `y` is borrowed for the whole product.
            unsafe { target.write(row + n, first, out) };
        }
        row += n;
    }
}

/// Rows of a tile at most.
pub(super) const MOST: usize = 8;

/// Computes some of the `left` rows from `row` on, and returns how many.
fn tile(
    panel: &[u8],
    layout: &PanelLayout,
    x: &Activations,
    (row, left): (usize, usize),
    out: &mut [[f32; PANEL]; MOST],
) -> usize {
    match path() {
        Path::Portable => {
            portable::tile(panel, layout, x, row, &mut out[0]);
            1
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the path was chosen because the processor has its instructions.
        Path::Avx2 => unsafe { x86::avx2(panel, layout, x, (row, left), out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Path::Vnni => unsafe { x86::vnni(panel, layout, x, (row, left), out) },
    }
}
