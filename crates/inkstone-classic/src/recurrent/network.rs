//! The language model: embedding, recurrent layers, head; forward, loss and hand-written backward.
//!
//! T steps, B rows, V tokens. Ids and rows run as in [`super::layer`]: `t · B + b`.

use inkstone_kernels::{
    LinearShape, Precision, add_bias, add_bias_backward, add_scaled, cross_entropy, cross_entropy_backward, embedding,
    embedding_backward, linear, linear_grad_input, linear_grad_weight,
};
use serde::{Deserialize, Serialize};

use super::layer::{Kept, Layer, LayerGrads};
use super::shape::Shape;
use crate::neural::{Dropout, LanguageModel, Tensor, Tensors, leave_out};

/// A network with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its sizes.
    pub shape: Shape,
    /// Its weights.
    pub weights: Tensors,
    /// In which matrix products are computed.
    precision: Precision,
}

/// What the layers remember: for each the hidden state `[B, H]`, and for LSTM the cell state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<[Vec<u32>; 2]>", from = "Vec<[Vec<u32>; 2]>")]
pub struct State(Vec<(Vec<f32>, Vec<f32>)>);

impl From<State> for Vec<[Vec<u32>; 2]> {
    /// The numbers as their bits, which come back as they were.
    fn from(state: State) -> Self {
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
        state.0.into_iter().map(|(h, c)| [bits(h), bits(c)]).collect()
    }
}

impl From<Vec<[Vec<u32>; 2]>> for State {
    fn from(bits: Vec<[Vec<u32>; 2]>) -> Self {
        let values = |bits: Vec<u32>| bits.into_iter().map(f32::from_bits).collect();
        Self(bits.into_iter().map(|[h, c]| (values(h), values(c))).collect())
    }
}

/// A forward pass with what the way back needs.
struct Pass {
    layers: Vec<Kept>,
    /// What the head sees, `[T·B, H]`.
    top: Vec<f32>,
    /// `[T·B, V]`.
    logits: Vec<f32>,
}

impl LanguageModel for Network {
    type Layout = Shape;
    type State = State;

    fn new(shape: Shape, weights: Tensors) -> Self {
        Self { shape, weights, precision: Precision::F32 }
    }

    fn layout(&self) -> &Shape {
        &self.shape
    }

    fn weights(&self) -> &Tensors {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Tensors {
        &mut self.weights
    }

    fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    fn begin(&self, rows: usize) -> State {
        let size = rows * self.shape.hidden;
        let cell = if self.shape.cell == super::shape::Kind::Lstm { size } else { 0 };
        State(vec![(vec![0.0; size], vec![0.0; cell]); self.shape.layers])
    }

    fn logits(&self, ids: &[u32], state: &mut State) -> Vec<f32> {
        self.forward(ids, state, None).logits
    }

    fn losses_and_grads(
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
}

impl Network {
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
        linear(&mut logits, &x, self.head(), self.head_shape(ids.len()), self.precision);
        add_bias(&mut logits, &self.weights.0[self.weights.0.len() - 1].values);
        Pass { layers, top: x, logits }
    }

    /// Sets the head's gradients; returns that of its input.
    fn head_backward(&self, top: &[f32], dlogits: &[f32], grads: &mut Tensors) -> Vec<f32> {
        let shape = self.head_shape(top.len() / self.shape.hidden);
        let last = grads.0.len() - 1;
        add_bias_backward(&mut grads.0[last].values, dlogits);
        let weight = if self.shape.tied { 0 } else { last - 1 };
        linear_grad_weight(&mut grads.0[weight].values, dlogits, top, shape, self.precision);
        let mut dx = vec![0.0; top.len()];
        linear_grad_input(&mut dx, dlogits, self.head(), shape, self.precision);
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
        Layer {
            cell,
            hidden,
            precision: self.precision,
            w_ih: tensor(0),
            w_hh: tensor(1),
            b_ih: tensor(2),
            b_hh: tensor(3),
        }
    }

    fn head(&self) -> &[f32] {
        let n = if self.shape.tied { 0 } else { self.weights.0.len() - 2 };
        &self.weights.0[n].values
    }

    fn head_shape(&self, rows: usize) -> LinearShape {
        LinearShape { rows, inputs: self.shape.hidden, outputs: self.shape.vocab_size }
    }
}
