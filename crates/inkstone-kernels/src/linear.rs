//! Products with a weight matrix, in the three layouts of training.

use crate::expect_len;
use crate::number::Number;
use crate::product::{Extent, Plan, View, ViewMut, product};
use crate::profile::{Work, span};

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

    /// The work of a product whose operands and result have so many bytes.
    fn work(&self, bytes: usize, precision: Precision) -> Work {
        Work { flops: 2.0 * (self.rows * self.inputs * self.outputs) as f64, precision, bytes: bytes as f64 }
    }
}

fn shared(precision: Precision) -> Plan {
    Plan { precision, accumulate: false, parallel: true }
}

/// `y[r, o] = Σᵢ x[r, i] · w[o, i]`. The bits of a row do not depend on how many others there are.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn linear<N: Number, M: Number>(y: &mut [N], x: &[M], w: &[f32], shape: LinearShape, precision: Precision) {
    shape.check(x.len(), w.len(), y.len());
    let _span = span("linear", || shape.work(size_of_val(y) + size_of_val(x) + size_of_val(w), precision));
    let extent = Extent { rows: shape.rows, columns: shape.outputs, depth: shape.inputs };
    let (x, w) = (View::rows(x, shape.inputs), View::rows(w, shape.inputs).transposed());
    // SAFETY: the lengths were checked; the output is borrowed alone.
    unsafe { product(ViewMut::rows(y, shape.outputs), x, w, extent, shared(precision)) }
}

/// `dx[r, i] = Σₒ dy[r, o] · w[o, i]`.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn linear_grad_input<N: Number, M: Number>(
    dx: &mut [N],
    dy: &[M],
    w: &[f32],
    shape: LinearShape,
    precision: Precision,
) {
    grad_input(dx, dy, w, shape, shared(precision));
}

/// `dx[r, i] += Σₒ dy[r, o] · w[o, i]`.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn add_linear_grad_input<N: Number, M: Number>(
    dx: &mut [N],
    dy: &[M],
    w: &[f32],
    shape: LinearShape,
    precision: Precision,
) {
    grad_input(dx, dy, w, shape, Plan { accumulate: true, ..shared(precision) });
}

fn grad_input<N: Number, M: Number>(dx: &mut [N], dy: &[M], w: &[f32], shape: LinearShape, plan: Plan) {
    shape.check(dx.len(), w.len(), dy.len());
    let bytes = size_of_val(dx) + size_of_val(dy) + size_of_val(w);
    let _span = span("linear, input gradient", || shape.work(bytes, plan.precision));
    let extent = Extent { rows: shape.rows, columns: shape.inputs, depth: shape.outputs };
    let (dy, w) = (View::rows(dy, shape.outputs), View::rows(w, shape.inputs));
    // SAFETY: as above.
    unsafe { product(ViewMut::rows(dx, shape.inputs), dy, w, extent, plan) }
}

/// `dw[o, i] = Σᵣ dy[r, o] · x[r, i]`.
///
/// # Panics
/// If a slice does not have the length that `shape` says.
pub fn linear_grad_weight<N: Number, M: Number>(
    dw: &mut [f32],
    dy: &[N],
    x: &[M],
    shape: LinearShape,
    precision: Precision,
) {
    shape.check(x.len(), dw.len(), dy.len());
    let bytes = size_of_val(dw) + size_of_val(dy) + size_of_val(x);
    let _span = span("linear, weight gradient", || shape.work(bytes, precision));
    let extent = Extent { rows: shape.outputs, columns: shape.inputs, depth: shape.rows };
    let (dy, x) = (View::rows(dy, shape.outputs).transposed(), View::rows(x, shape.inputs));
    // SAFETY: as above.
    unsafe { product(ViewMut::rows(dw, shape.inputs), dy, x, extent, shared(precision)) }
}
