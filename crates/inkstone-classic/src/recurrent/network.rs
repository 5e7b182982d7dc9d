//! The language model: embedding, recurrent layers, head; forward, loss and hand-written backward.
//!
//! T steps, B rows, V tokens. Ids and rows run as in [`super::layer`]: `t · B + b`.

use inkstone_kernels::{
    LinearShape, Precision, add_scaled, cross_entropy, cross_entropy_backward, embedding, embedding_backward, linear,
    linear_grad_input, linear_grad_weight,
};
use rayon::prelude::*;

use super::layer::{Kept, Layer, LayerGrads, add_bias, column_sums};
use super::shape::Shape;
use super::tensors::{Tensor, Tensors};
use crate::random::{Draws, Purpose};

/// A network with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its sizes.
    pub shape: Shape,
    /// Its weights.
    pub weights: Tensors,
}

/// What the layers remember: for each the hidden state `[B, H]`, and for LSTM the cell state.
#[derive(Debug, Clone, PartialEq)]
pub struct State(Vec<(Vec<f32>, Vec<f32>)>);

/// Units that are left out, between layers but not in time (arXiv:1409.2329).
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share that is left out.
    pub rate: f32,
    /// Draws depend on this and
    pub seed: u64,
    /// on the step of the training.
    pub step: u64,
}

/// A forward pass with what the way back needs.
struct Pass {
    layers: Vec<Kept>,
    /// What the head sees, `[T·B, H]`.
    top: Vec<f32>,
    /// `[T·B, V]`.
    logits: Vec<f32>,
}

impl Network {
    /// The state before any text.
    pub fn begin(&self, rows: usize) -> State {
        let size = rows * self.shape.hidden;
        let cell = if self.shape.cell == super::shape::Kind::Lstm { size } else { 0 };
        State(vec![(vec![0.0; size], vec![0.0; cell]); self.shape.layers])
    }

    /// The logits `[T·B, V]` after each of `ids[T·B]`; moves `state` on.
    pub fn logits(&self, ids: &[u32], state: &mut State) -> Vec<f32> {
        self.forward(ids, state, None).logits
    }

    /// The loss (nats) of each of `labels[T·B]` after `ids[T·B]`; moves `state` on.
    pub fn losses(&self, ids: &[u32], labels: &[i32], state: &mut State) -> Vec<f32> {
        let logits = self.logits(ids, state);
        let mut losses = vec![0.0; ids.len()];
        cross_entropy(&logits, labels, &mut losses, self.shape.vocab_size);
        losses
    }

    /// As [`Network::losses`], and sets `grads` to the gradient of their mean.
    pub fn losses_and_grads(
        &self,
        (ids, labels): (&[u32], &[i32]),
        state: &mut State,
        dropout: Option<Dropout>,
        grads: &mut Tensors,
    ) -> Vec<f32> {
        let Pass { layers, top, mut logits } = self.forward(ids, state, dropout);
        let vocab = self.shape.vocab_size;
        let mut losses = vec![0.0; ids.len()];
        cross_entropy(&logits, labels, &mut losses, vocab);
        cross_entropy_backward(&mut logits, labels, 1.0 / ids.len() as f32, vocab);
        let dx = self.head_backward(&top, &logits, grads);
        self.layers_backward((layers, dx), ids, dropout, grads);
        losses
    }

    fn forward(&self, ids: &[u32], state: &mut State, dropout: Option<Dropout>) -> Pass {
        let mut x = vec![0.0; ids.len() * self.shape.embedding];
        embedding(&mut x, &self.weights.0[0].values, ids, self.shape.embedding);
        let mut layers = Vec::with_capacity(self.shape.layers);
        for (n, (h, c)) in state.0.iter_mut().enumerate() {
            leave_out(&mut x, dropout, n);
            let kept = self.layer(n).forward(x, (h, c));
            let last = kept.last(self.shape.hidden);
            h.copy_from_slice(last.0);
            c.copy_from_slice(last.1);
            x = kept.outputs(self.shape.hidden).to_vec();
            layers.push(kept);
        }
        leave_out(&mut x, dropout, self.shape.layers);
        let mut logits = vec![0.0; ids.len() * self.shape.vocab_size];
        linear(&mut logits, &x, self.head(), self.head_shape(ids.len()), Precision::F32);
        add_bias(&mut logits, &self.weights.0[self.weights.0.len() - 1].values);
        Pass { layers, top: x, logits }
    }

    /// Sets the head's gradients; returns that of its input.
    fn head_backward(&self, top: &[f32], dlogits: &[f32], grads: &mut Tensors) -> Vec<f32> {
        let shape = self.head_shape(top.len() / self.shape.hidden);
        let last = grads.0.len() - 1;
        column_sums(&mut grads.0[last].values, dlogits);
        let weight = if self.shape.tied { 0 } else { last - 1 };
        linear_grad_weight(&mut grads.0[weight].values, dlogits, top, shape, Precision::F32);
        let mut dx = vec![0.0; top.len()];
        linear_grad_input(&mut dx, dlogits, self.head(), shape, Precision::F32);
        dx
    }

    fn layers_backward(
        &self,
        (layers, mut dx): (Vec<Kept>, Vec<f32>),
        ids: &[u32],
        dropout: Option<Dropout>,
        grads: &mut Tensors,
    ) {
        leave_out(&mut dx, dropout, self.shape.layers);
        for (n, kept) in layers.into_iter().enumerate().rev() {
            let [w_ih, w_hh, b_ih, b_hh] = &mut grads.0[1 + 4 * n..][..4] else {
                unreachable!("invariant: four tensors for each layer")
            };
            let values = |tensor: &'_ mut Tensor| std::mem::take(&mut tensor.values);
            let mut taken = [values(w_ih), values(w_hh), values(b_ih), values(b_hh)];
            let [a, b, c, d] = &mut taken;
            dx = self.layer(n).backward(kept, &dx, LayerGrads { w_ih: a, w_hh: b, b_ih: c, b_hh: d });
            [w_ih.values, w_hh.values, b_ih.values, b_hh.values] = taken;
            leave_out(&mut dx, dropout, n);
        }
        let table = &mut grads.0[0].values;
        if self.shape.tied {
            let mut own = vec![0.0; table.len()];
            embedding_backward(&mut own, &dx, ids, self.shape.embedding);
            add_scaled(table, &own, 1.0);
        } else {
            embedding_backward(table, &dx, ids, self.shape.embedding);
        }
    }

    fn layer(&self, n: usize) -> Layer<'_> {
        let tensor = |k: usize| self.weights.0[1 + 4 * n + k].values.as_slice();
        let (cell, hidden) = (self.shape.cell.cell(), self.shape.hidden);
        Layer { cell, hidden, w_ih: tensor(0), w_hh: tensor(1), b_ih: tensor(2), b_hh: tensor(3) }
    }

    fn head(&self) -> &[f32] {
        let n = if self.shape.tied { 0 } else { self.weights.0.len() - 2 };
        &self.weights.0[n].values
    }

    fn head_shape(&self, rows: usize) -> LinearShape {
        LinearShape { rows, inputs: self.shape.hidden, outputs: self.shape.vocab_size }
    }
}

/// Numbers whose draws come from one stream.
const STREAM: usize = 1 << 12;

/// Sets a share of the numbers to 0 and scales the others up; the same numbers at every call with the same
/// step and place, so that the way back needs no mask.
fn leave_out(x: &mut [f32], dropout: Option<Dropout>, place: usize) {
    let Some(Dropout { rate, seed, step }) = dropout.filter(|dropout| dropout.rate > 0.0) else { return };
    let (threshold, scale) = ((f64::from(rate) * 2f64.powi(32)) as u64, 1.0 / (1.0 - rate));
    x.par_chunks_mut(STREAM).enumerate().for_each(|(n, x)| {
        let mut draws = Draws::new(seed, Purpose::Dropout, step << 32 | (place as u64) << 24 | n as u64);
        for x in x {
            *x *= if draws.next() >> 32 < threshold { 0.0 } else { scale };
        }
    });
}
