//! Weights that are packed once for many products, as in the steps of a recurrent network, where packing would cost as much
//! as the product of a few rows.

use crate::expect_len;
use crate::product::{Corner, Extent, Panels, Plan, View, ViewMut, multiply};
use crate::{LinearShape, Precision};

/// A weight `w[outputs, inputs]` in the form that products read.
pub struct PackedWeight {
    panels: Panels,
    /// Columns of what goes in, and of what comes out.
    from: usize,
    to: usize,
    precision: Precision,
}

impl PackedWeight {
    /// For [`crate::linear`]; the rows of `shape` do not matter.
    ///
    /// # Panics
    /// If `w` does not have the length that `shape` says.
    pub fn forward(w: &[f32], shape: LinearShape, precision: Precision) -> Self {
        let LinearShape { inputs, outputs, .. } = shape;
        expect_len("w", w.len(), outputs * inputs);
        // SAFETY: the length was checked.
        let panels = unsafe { Panels::pack(View::rows(w, inputs).transposed(), (inputs, outputs), precision, true) };
        Self { panels, from: inputs, to: outputs, precision }
    }

    /// For [`crate::linear_grad_input`].
    ///
    /// # Panics
    /// If `w` does not have the length that `shape` says.
    pub fn backward(w: &[f32], shape: LinearShape, precision: Precision) -> Self {
        let LinearShape { inputs, outputs, .. } = shape;
        expect_len("w", w.len(), outputs * inputs);
        // SAFETY: the length was checked.
        let panels = unsafe { Panels::pack(View::rows(w, inputs), (outputs, inputs), precision, true) };
        Self { panels, from: outputs, to: inputs, precision }
    }

    /// The product with the rows of `x`, bit by bit that of [`crate::linear`] or [`crate::linear_grad_input`] with more than a
    /// few rows.
    ///
    /// # Panics
    /// If `x` and `y` do not have as many rows of the weight's inputs and outputs.
    pub fn multiply(&self, y: &mut [f32], x: &[f32]) {
        let rows = x.len() / self.from.max(1);
        expect_len("x", x.len(), rows * self.from);
        expect_len("y", y.len(), rows * self.to);
        let extent = Extent { rows, columns: self.to, depth: self.from };
        let plan = Plan { precision: self.precision, accumulate: false, parallel: true };
        let whole = Corner { panels: &self.panels, column: 0, level: 0 };
        // SAFETY: the lengths were checked; the output is borrowed alone.
        unsafe { multiply(ViewMut::rows(y, self.to), View::rows(x, self.from), whole, extent, plan) }
    }
}
