//! One recurrent layer over a stretch of time.
//!
//! T steps, B rows, I inputs, H units, G = gates · H. Time runs slowest: row `t · B + b`.

use inkstone_kernels::{
    Cell, CellBackward, CellStep, LinearShape, PackedWeight, Precision, add_bias, add_bias_backward, cell,
    cell_backward, linear, linear_grad_input, linear_grad_weight,
};

/// A layer's weights `[G, I]`, `[G, H]` and biases `[G]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer<'a> {
    pub(crate) cell: Cell,
    pub(crate) hidden: usize,
    pub(crate) precision: Precision,
    pub(crate) w_ih: &'a [f32],
    pub(crate) w_hh: &'a [f32],
    pub(crate) b_ih: &'a [f32],
    pub(crate) b_hh: &'a [f32],
}

/// What the way back needs.
#[derive(Debug)]
pub(crate) struct Kept {
    /// `[T·B, I]`.
    pub(crate) x: Vec<f32>,
    /// The gates, `[T·B, G]`.
    gates: Vec<f32>,
    /// Products with the state before, `[T·B, G]`.
    u: Vec<f32>,
    /// States from before the first step on, `[(T+1)·B, H]`.
    h: Vec<f32>,
    /// Cell states likewise; empty but for LSTM.
    c: Vec<f32>,
    rows: usize,
}

impl Kept {
    /// The outputs, `[T·B, H]`.
    pub(crate) fn outputs(&self, hidden: usize) -> &[f32] {
        &self.h[self.rows * hidden..]
    }

    /// The last hidden and cell states, `[B, H]` each.
    pub(crate) fn last(&self, hidden: usize) -> (&[f32], &[f32]) {
        let size = self.rows * hidden;
        (&self.h[self.h.len() - size..], if self.c.is_empty() { &[] } else { &self.c[self.c.len() - size..] })
    }
}

/// The gradients of a layer's weights and biases.
pub(crate) struct LayerGrads<'a> {
    pub(crate) w_ih: &'a mut [f32],
    pub(crate) w_hh: &'a mut [f32],
    pub(crate) b_ih: &'a mut [f32],
    pub(crate) b_hh: &'a mut [f32],
}

/// Rows up to which products read weights as they are.
const FEW: usize = 4;

impl Layer<'_> {
    fn wide(&self) -> usize {
        self.cell.gates() * self.hidden
    }

    fn shape(&self, rows: usize, inputs: usize) -> LinearShape {
        LinearShape { rows, inputs, outputs: self.wide() }
    }

    /// The weights of the state, packed where many steps of more than a few rows will multiply with them.
    fn packed(
        &self,
        rows: usize,
        all: usize,
        pack: fn(&[f32], LinearShape, Precision) -> PackedWeight,
    ) -> Option<PackedWeight> {
        let worth_it = rows > FEW && all > rows;
        worth_it.then(|| pack(self.w_hh, self.shape(rows, self.hidden), self.precision))
    }

    /// Runs over `x[T·B, I]` from the states `h` and `c` (`[B, H]`; `c` empty but for LSTM): the product with all
    /// inputs at once, then one product a step.
    pub(crate) fn forward(&self, x: Vec<f32>, (h0, c0): (&[f32], &[f32])) -> Kept {
        let (wide, inputs) = (self.wide(), self.w_ih.len() / self.wide());
        let (rows, all) = (h0.len() / self.hidden, x.len() / inputs);
        let size = rows * self.hidden;
        let mut gates = vec![0.0; all * wide];
        linear(&mut gates, &x, self.w_ih, self.shape(all, inputs), self.precision);
        add_bias(&mut gates, self.b_ih);
        let mut kept = Kept { x, gates, u: vec![0.0; all * wide], h: h0.to_vec(), c: c0.to_vec(), rows };
        kept.h.resize((all + rows) * self.hidden, 0.0);
        kept.c.resize(if c0.is_empty() { 0 } else { (all + rows) * self.hidden }, 0.0);
        let (w_hh, shape) = (self.packed(rows, all, PackedWeight::forward), self.shape(rows, self.hidden));
        for (t, (x, u)) in
            kept.gates.chunks_exact_mut(rows * wide).zip(kept.u.chunks_exact_mut(rows * wide)).enumerate()
        {
            let (h_before, h) = around(&mut kept.h, t, size);
            let (c_before, c) = around(&mut kept.c, t, size);
            match &w_hh {
                Some(w_hh) => w_hh.multiply(u, h_before),
                None => linear(u, h_before, self.w_hh, shape, self.precision),
            }
            add_bias(u, self.b_hh);
            cell(self.cell, self.hidden, CellStep { x, u, h_before, c_before, h, c });
        }
        kept
    }

    /// Given `dy[T·B, H]`, sets the gradients of weights and biases and returns that of the input. States before
    /// the first step count as given (truncated back-propagation through time).
    #[expect(clippy::needless_pass_by_value, reason = "its slices are written: whoever lends them lends them once")]
    pub(crate) fn backward(&self, mut kept: Kept, dy: &[f32], grads: LayerGrads<'_>) -> Vec<f32> {
        let (wide, inputs, rows) = (self.wide(), self.w_ih.len() / self.wide(), kept.rows);
        let (size, all) = (rows * self.hidden, dy.len() / self.hidden);
        let (mut dh, mut through) = (vec![0.0; size], vec![0.0; size]);
        let mut dc = vec![0.0; if kept.c.is_empty() { 0 } else { size }];
        let (w_hh, shape) = (self.packed(rows, all, PackedWeight::backward), self.shape(rows, self.hidden));
        for t in (0..all / rows).rev() {
            for ((dh, dy), through) in dh.iter_mut().zip(&dy[t * size..][..size]).zip(&through) {
                *dh += dy + through;
            }
            let (h_before, h) = around(&mut kept.h, t, size);
            let (c_before, c) = around(&mut kept.c, t, size);
            let x = &mut kept.gates[t * rows * wide..][..rows * wide];
            let u = &mut kept.u[t * rows * wide..][..rows * wide];
            let step = CellBackward { x, u, h_before, c_before, h, c, dh: &mut dh, dc: &mut dc };
            cell_backward(self.cell, self.hidden, step);
            let du = &kept.u[t * rows * wide..][..rows * wide];
            match &w_hh {
                Some(w_hh) => w_hh.multiply(&mut through, du),
                None => linear_grad_input(&mut through, du, self.w_hh, shape, self.precision),
            }
        }
        let (dx_gates, du) = (&kept.gates, &kept.u);
        linear_grad_weight(grads.w_ih, dx_gates, &kept.x, self.shape(all, inputs), self.precision);
        let before = &kept.h[..all * self.hidden];
        linear_grad_weight(grads.w_hh, du, before, self.shape(all, self.hidden), self.precision);
        add_bias_backward(grads.b_ih, dx_gates);
        add_bias_backward(grads.b_hh, du);
        let mut dx = vec![0.0; kept.x.len()];
        linear_grad_input(&mut dx, dx_gates, self.w_ih, self.shape(all, inputs), self.precision);
        dx
    }
}

/// States before and after step `t`.
fn around(states: &mut [f32], t: usize, size: usize) -> (&[f32], &mut [f32]) {
    if states.is_empty() {
        return (&[], &mut []);
    }
    let (before, after) = states.split_at_mut((t + 1) * size);
    (&before[t * size..], &mut after[..size])
}
