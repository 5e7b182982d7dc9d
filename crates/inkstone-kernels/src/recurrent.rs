//! The cells of recurrent networks: what happens to the gates between two matrix products.
//!
//! Rows are those of a batch; `inner` has `gates · hidden` columns (before their nonlinearity in, after it out), in
//! the order of PyTorch: long short-term memory `i f g o`, gated recurrent unit `r z n`, Elman's network one.

use rayon::prelude::*;

use crate::exp::exp;
use crate::expect_len;
use crate::simd::simd_fn;

/// Which cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cell {
    /// `h = tanh(x + u)` (Elman 1990).
    Elman,
    /// Long short-term memory with a forget gate (Gers, Schmidhuber, Cummins 2000).
    Lstm,
    /// Gated recurrent unit, the reset gate applied after the product (arXiv:1406.1078, as cuDNN has it).
    Gru,
}

impl Cell {
    /// Gates of a cell.
    pub fn gates(self) -> usize {
        match self {
            Self::Elman => 1,
            Self::Lstm => 4,
            Self::Gru => 3,
        }
    }

    /// Numbers of all gates, of the hidden state and of the cell state, of as many rows as have `narrow` numbers of hidden state.
    fn lengths(self, hidden: usize, narrow: usize) -> [usize; 3] {
        let narrow = narrow / hidden.max(1) * hidden;
        [self.gates() * narrow, narrow, if self == Self::Lstm { narrow } else { 0 }]
    }
}

/// What a cell has at one step, each `[rows, hidden]` (`x`, `u`: `[rows, gates · hidden]`).
#[derive(Debug)]
pub struct CellStep<'a> {
    /// Products with the input, biases added. Overwritten by the gates' values.
    pub x: &'a mut [f32],
    /// Products with the hidden state before, biases added.
    pub u: &'a [f32],
    /// Hidden state before.
    pub h_before: &'a [f32],
    /// Cell state before; empty but for LSTM.
    pub c_before: &'a [f32],
    /// Hidden state after.
    pub h: &'a mut [f32],
    /// Cell state after; empty but for LSTM.
    pub c: &'a mut [f32],
}

/// Computes the gates and the new state.
///
/// # Panics
/// If a slice does not have the length that the others say.
#[expect(clippy::needless_pass_by_value, reason = "its slices are written: whoever lends them lends them once")]
pub fn cell(cell: Cell, hidden: usize, step: CellStep<'_>) {
    let [wide, narrow, state] = cell.lengths(hidden, step.h.len());
    expect_lens(wide, [("x", step.x.len()), ("u", step.u.len())]);
    expect_lens(narrow, [("h_before", step.h_before.len())]);
    expect_lens(state, [("c_before", step.c_before.len()), ("c", step.c.len())]);
    if narrow == 0 {
        return;
    }
    let gates = cell.gates() * hidden;
    let wide = step.x.par_chunks_exact_mut(gates).zip(step.u.par_chunks_exact(gates));
    let rows = wide.zip(step.h.par_chunks_exact_mut(hidden)).with_min_len(MIN_ROWS);
    match cell {
        Cell::Elman => rows.for_each(|((x, u), h)| elman(x, u, h)),
        Cell::Gru => {
            rows.zip(step.h_before.par_chunks_exact(hidden)).for_each(|(((x, u), h), h_before)| gru(x, u, h_before, h));
        }
        Cell::Lstm => rows
            .zip(step.c_before.par_chunks_exact(hidden).zip(step.c.par_chunks_exact_mut(hidden)))
            .for_each(|(((x, u), h), (c_before, c))| lstm(x, u, c_before, (h, c))),
    }
}

#[track_caller]
fn expect_lens<const N: usize>(expected: usize, slices: [(&str, usize); N]) {
    for (name, got) in slices {
        expect_len(name, got, expected);
    }
}

/// Rows below which a second thread is not worth waking.
const MIN_ROWS: usize = 16;

/// The gradients of one step.
#[derive(Debug)]
pub struct CellBackward<'a> {
    /// The gates' values, as [`cell`] left them. Overwritten by the gradient of `x`.
    pub x: &'a mut [f32],
    /// `u` as it was. Overwritten by the gradient of `u`.
    pub u: &'a mut [f32],
    /// Hidden state before.
    pub h_before: &'a [f32],
    /// Cell state before; empty but for LSTM.
    pub c_before: &'a [f32],
    /// Hidden state after.
    pub h: &'a [f32],
    /// Cell state after; empty but for LSTM.
    pub c: &'a [f32],
    /// Gradient of the hidden state after in; of the one before out, without what goes through `u`.
    pub dh: &'a mut [f32],
    /// Gradient of the cell state after in, of the one before out; empty but for LSTM.
    pub dc: &'a mut [f32],
}

/// The way back through [`cell`].
///
/// # Panics
/// If a slice does not have the length that the others say.
#[expect(clippy::needless_pass_by_value, reason = "its slices are written: whoever lends them lends them once")]
pub fn cell_backward(cell: Cell, hidden: usize, step: CellBackward<'_>) {
    let [wide, narrow, state] = cell.lengths(hidden, step.dh.len());
    expect_lens(wide, [("x", step.x.len()), ("u", step.u.len())]);
    expect_lens(narrow, [("h_before", step.h_before.len()), ("h", step.h.len())]);
    expect_lens(state, [("c_before", step.c_before.len()), ("c", step.c.len()), ("dc", step.dc.len())]);
    if narrow == 0 {
        return;
    }
    let gates = cell.gates() * hidden;
    let wide = step.x.par_chunks_exact_mut(gates).zip(step.u.par_chunks_exact_mut(gates));
    let rows = wide.zip(step.dh.par_chunks_exact_mut(hidden)).with_min_len(MIN_ROWS);
    match cell {
        Cell::Elman => {
            rows.zip(step.h.par_chunks_exact(hidden)).for_each(|(((x, u), dh), h)| elman_backward((x, u), h, dh));
        }
        Cell::Gru => rows
            .zip(step.h_before.par_chunks_exact(hidden))
            .for_each(|(((x, u), dh), h_before)| gru_backward((x, u), h_before, dh)),
        Cell::Lstm => {
            let states = step.c_before.par_chunks_exact(hidden).zip(step.c.par_chunks_exact(hidden));
            rows.zip(states.zip(step.dc.par_chunks_exact_mut(hidden)))
                .for_each(|(((x, u), dh), ((c_before, c), dc))| lstm_backward((x, u), (c_before, c), (dh, dc)));
        }
    }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (1.0 + exp(2.0 * x))
}

/// A row's gates apart.
#[inline(always)]
fn apart<const N: usize>(row: &[f32]) -> [&[f32]; N] {
    let hidden = row.len() / N;
    std::array::from_fn(|n| &row[n * hidden..][..hidden])
}

simd_fn! {
    fn elman<'a>(x: &'a mut [f32], u: &'a [f32], h: &'a mut [f32]) {
        for ((x, u), h) in x.iter_mut().zip(u).zip(h) {
            *h = tanh(*x + u);
            *x = *h;
        }
    }
}

simd_fn! {
    fn lstm<'a>(x: &'a mut [f32], u: &'a [f32], c_before: &'a [f32], after: (&'a mut [f32], &'a mut [f32])) {
        let (h, c) = after;
        let hidden = h.len();
        for (n, (x, u)) in x.chunks_exact_mut(hidden).zip(u.chunks_exact(hidden)).enumerate() {
            if n == 2 {
                for (x, u) in x.iter_mut().zip(u) {
                    *x = tanh(*x + u);
                }
            } else {
                for (x, u) in x.iter_mut().zip(u) {
                    *x = sigmoid(*x + u);
                }
            }
        }
        let [i, f, g, o] = apart(x);
        for n in 0..hidden {
            c[n] = f[n] * c_before[n] + i[n] * g[n];
            h[n] = o[n] * tanh(c[n]);
        }
    }
}

simd_fn! {
    fn gru<'a>(x: &'a mut [f32], u: &'a [f32], h_before: &'a [f32], h: &'a mut [f32]) {
        let hidden = h.len();
        let (rz, new) = x.split_at_mut(2 * hidden);
        for (x, u) in rz.iter_mut().zip(u) {
            *x = sigmoid(*x + u);
        }
        let [r, z] = apart(rz);
        let u_new = &u[2 * hidden..];
        for n in 0..hidden {
            new[n] = tanh(new[n] + r[n] * u_new[n]);
            h[n] = new[n] + z[n] * (h_before[n] - new[n]);
        }
    }
}

simd_fn! {
    fn elman_backward<'a>(grads: (&'a mut [f32], &'a mut [f32]), h: &'a [f32], dh: &'a mut [f32]) {
        for (((x, u), h), dh) in grads.0.iter_mut().zip(grads.1).zip(h).zip(dh) {
            *x = *dh * (1.0 - h * h);
            *u = *x;
            *dh = 0.0;
        }
    }
}

simd_fn! {
    fn lstm_backward<'a>(
        grads: (&'a mut [f32], &'a mut [f32]),
        states: (&'a [f32], &'a [f32]),
        dstates: (&'a mut [f32], &'a mut [f32]),
    ) {
        let ((x, u), (c_before, c), (dh, dc)) = (grads, states, dstates);
        let hidden = dh.len();
        let (xi, rest) = x.split_at_mut(hidden);
        let (xf, rest) = rest.split_at_mut(hidden);
        let (xg, xo) = rest.split_at_mut(hidden);
        for n in 0..hidden {
            let (i, f, g, o) = (xi[n], xf[n], xg[n], xo[n]);
            let t = tanh(c[n]);
            let d = dc[n] + dh[n] * o * (1.0 - t * t);
            xi[n] = d * g * i * (1.0 - i);
            xf[n] = d * c_before[n] * f * (1.0 - f);
            xg[n] = d * i * (1.0 - g * g);
            xo[n] = dh[n] * t * o * (1.0 - o);
            dc[n] = d * f;
            dh[n] = 0.0;
        }
        u.copy_from_slice(x);
    }
}

simd_fn! {
    fn gru_backward<'a>(grads: (&'a mut [f32], &'a mut [f32]), h_before: &'a [f32], dh: &'a mut [f32]) {
        let (x, u) = grads;
        let hidden = dh.len();
        let (xr, rest) = x.split_at_mut(hidden);
        let (xz, xn) = rest.split_at_mut(hidden);
        let (ur, rest) = u.split_at_mut(hidden);
        let (uz, un) = rest.split_at_mut(hidden);
        for n in 0..hidden {
            let (r, z, new, d) = (xr[n], xz[n], xn[n], dh[n]);
            let dnew = d * (1.0 - z) * (1.0 - new * new);
            xr[n] = dnew * un[n] * r * (1.0 - r);
            xz[n] = d * (h_before[n] - new) * z * (1.0 - z);
            xn[n] = dnew;
            ur[n] = xr[n];
            uz[n] = xz[n];
            un[n] = dnew * r;
            dh[n] = d * z;
        }
    }
}
