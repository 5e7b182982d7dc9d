//! Products with a weight matrix, in the three layouts of training.

use half::bf16;
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

use crate::expect_len;
use crate::product::{Extent, View, ViewMut, product};
use crate::reduce::dot;
use crate::simd::simd_fn;

/// In which precision the operands of a product are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Operands rounded to bfloat16 (nearest, ties to even), sums in f32.
    Bf16,
}

/// Shape of a product with a weight `w[outputs, inputs]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinearShape {
    /// Rows of `x` and `y`.
    pub rows: usize,
    /// Columns of `x` and of `w`.
    pub inputs: usize,
    /// Columns of `y`, rows of `w`.
    pub outputs: usize,
}

impl LinearShape {
    #[track_caller]
    fn check(&self, x: usize, w: usize, y: usize) {
        expect_len("x", x, self.rows * self.inputs);
        expect_len("w", w, self.outputs * self.inputs);
        expect_len("y", y, self.rows * self.outputs);
    }
}

/// `y[r, o] = Σᵢ x[r, i] · w[o, i]`.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn linear(y: &mut [f32], x: &[f32], w: &[f32], shape: LinearShape, precision: Precision) {
    shape.check(x.len(), w.len(), y.len());
    if shape.rows == 1 && precision == Precision::F32 {
        return matrix_vector(y, x, w);
    }
    let extent = Extent { rows: shape.rows, columns: shape.outputs, depth: shape.inputs };
    with_precision(precision, x, w, |x, w| {
        blocked(y, View::rows(x, shape.inputs), View::rows(w, shape.inputs).transposed(), extent);
    });
}

/// `dx[r, i] = Σₒ dy[r, o] · w[o, i]`.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn linear_grad_input(dx: &mut [f32], dy: &[f32], w: &[f32], shape: LinearShape, precision: Precision) {
    shape.check(dx.len(), w.len(), dy.len());
    let extent = Extent { rows: shape.rows, columns: shape.inputs, depth: shape.outputs };
    with_precision(precision, dy, w, |dy, w| {
        blocked(dx, View::rows(dy, shape.outputs), View::rows(w, shape.inputs), extent);
    });
}

/// `dw[o, i] = Σᵣ dy[r, o] · x[r, i]`.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn linear_grad_weight(dw: &mut [f32], dy: &[f32], x: &[f32], shape: LinearShape, precision: Precision) {
    shape.check(x.len(), dw.len(), dy.len());
    let extent = Extent { rows: shape.outputs, columns: shape.inputs, depth: shape.rows };
    with_precision(precision, dy, x, |dy, x| {
        blocked(dw, View::rows(dy, shape.outputs).transposed(), View::rows(x, shape.inputs), extent);
    });
}

fn with_precision(precision: Precision, a: &[f32], b: &[f32], run: impl FnOnce(&[f32], &[f32])) {
    match precision {
        Precision::F32 => run(a, b),
        Precision::Bf16 => run(&rounded(a), &rounded(b)),
    }
}

/// A copy with every value rounded to bfloat16.
fn rounded(values: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; values.len()];
    out.par_chunks_mut(ELEMENTS).zip(values.par_chunks(ELEMENTS)).for_each(|(out, values)| {
        let mut narrow = [bf16::ZERO; 1024];
        for (out, values) in out.chunks_mut(1024).zip(values.chunks(1024)) {
            narrow[..values.len()].convert_from_f32_slice(values);
            narrow[..values.len()].convert_to_f32_slice(out);
        }
    });
    out
}

/// Elements per task of a loop without a product.
const ELEMENTS: usize = 1 << 15;
/// Products with fewer multiplications than this are not worth a second thread.
const SMALL: usize = 1 << 18;
/// Blocks into which the longer side of a product is cut, and the shortest block.
const BLOCKS: usize = 8;
const SHORTEST: usize = 96;

/// The whole product, cut into blocks of rows or of columns of the output.
fn blocked(out: &mut [f32], a: View, b: View, extent: Extent) {
    let row = extent.columns;
    expect_len("output", out.len(), extent.rows * extent.columns);
    let out = ViewMut::rows(out, row);
    let by_rows = extent.rows >= extent.columns;
    let side = if by_rows { extent.rows } else { extent.columns };
    let size = if extent.rows * extent.columns * extent.depth < SMALL { side.max(1) } else { block_size(side) };
    let run = |start: usize| {
        let length = size.min(side - start);
        // SAFETY: the views cover the whole product inside slices that live through this call (their
        // lengths were checked); blocks of rows or columns do not overlap.
        unsafe {
            if by_rows {
                product(out.at(start, 0), a.at(start, 0), b, Extent { rows: length, ..extent }, false);
            } else {
                product(out.at(0, start), a, b.at(0, start), Extent { columns: length, ..extent }, false);
            }
        }
    };
    if size >= side {
        return if side > 0 { run(0) } else { () };
    }
    (0..side.div_ceil(size)).into_par_iter().for_each(|block| run(block * size));
}

fn block_size(side: usize) -> usize {
    side.div_ceil(BLOCKS).next_multiple_of(16).max(SHORTEST)
}

/// `y[o] = Σᵢ x[i] · w[o, i]`, bound by reading `w`.
fn matrix_vector(y: &mut [f32], x: &[f32], w: &[f32]) {
    if x.is_empty() {
        return y.fill(0.0);
    }
    let rows = (ELEMENTS / x.len()).max(1);
    let run = |(y, w): (&mut [f32], &[f32])| {
        dots(y, x, w);
    };
    if w.len() < SMALL {
        run((y, w));
    } else {
        y.par_chunks_mut(rows).zip(w.par_chunks(rows * x.len())).for_each(run);
    }
}

simd_fn! {
    fn dots<'a>(y: &'a mut [f32], x: &'a [f32], w: &'a [f32]) {
        for (y, w) in y.iter_mut().zip(w.chunks_exact(x.len())) {
            *y = dot(x, w);
        }
    }
}
