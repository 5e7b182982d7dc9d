//! `y = b + W·x + U·tanh(d + H·x)`, `x` the vectors of the last tokens side by side (equation 1 of the paper).
//!
//! T steps, B rows, N = T · B, V tokens, C tokens that are looked at, M numbers in a vector, H units. Row `t · B + b` is
//! step `t` of row `b`.

use std::collections::VecDeque;

use inkstone_kernels::{
    LinearShape, Precision, add_bias, add_bias_backward, add_linear_grad_input, add_scaled, cross_entropy,
    cross_entropy_backward, embedding, embedding_backward, linear, linear_grad_input, linear_grad_weight,
};
use serde::{Deserialize, Serialize};

use super::shape::Shape;
use crate::neural::{Dropout, LanguageModel, Tensors, leave_out};

/// A network with its weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Network {
    /// Its sizes.
    pub shape: Shape,
    /// Its weights, in the order of the shape's tensors.
    pub weights: Tensors,
    /// In which matrix products are computed.
    precision: Precision,
}

/// The last tokens of each row, the newest first. What is before the text is a token of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State(Vec<VecDeque<u32>>);

/// A forward pass with what the way back needs.
struct Pass {
    /// The tokens that each position sees, newest first, `[N, C]`.
    seen: Vec<u32>,
    /// Their vectors, `[N, C·M]`.
    x: Vec<f32>,
    /// The hidden layer, `[N, H]`.
    a: Vec<f32>,
    /// The hidden layer with units left out, `[N, H]`.
    top: Vec<f32>,
    /// `[N, V]`.
    logits: Vec<f32>,
}

/// Places of the tensors, by the paper's letters.
const C: usize = 0;
const H: usize = 1;
const D: usize = 2;
const U: usize = 3;
const B: usize = 4;
const W: usize = 5;

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
        let before = self.shape.vocab_size as u32;
        State(vec![VecDeque::from(vec![before; self.shape.context]); rows])
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
        let mut pass = self.forward(ids, state, dropout);
        let mut losses = vec![0.0; ids.len()];
        cross_entropy(&pass.logits, labels, &mut losses, self.shape.vocab_size);
        cross_entropy_backward(&mut pass.logits, labels, 1.0 / ids.len() as f32, self.shape.vocab_size);
        self.backward(&pass, dropout, grads);
        losses
    }
}

impl Network {
    fn forward(&self, ids: &[u32], state: &mut State, dropout: Option<Dropout>) -> Pass {
        let Shape { vocab_size, context, embedding: m, hidden, direct } = self.shape;
        let seen = see(ids, state, context);
        let mut x = vec![0.0; seen.len() * m];
        embedding(&mut x, self.values(C), &seen, m);
        let mut a = vec![0.0; ids.len() * hidden];
        linear(&mut a, &x, self.values(H), self.inner(ids.len()), self.precision);
        add_bias(&mut a, self.values(D));
        tanh(&mut a);
        let mut top = a.clone();
        leave_out(&mut top, dropout, 0);
        let mut logits = vec![0.0; ids.len() * vocab_size];
        linear(&mut logits, &top, self.values(U), self.outer(ids.len()), self.precision);
        add_bias(&mut logits, self.values(B));
        if direct {
            let mut straight = vec![0.0; logits.len()];
            linear(&mut straight, &x, self.values(W), self.straight(ids.len()), self.precision);
            add_scaled(&mut logits, &straight, 1.0);
        }
        Pass { seen, x, a, top, logits }
    }

    /// Sets `grads`; the logits of `pass` hold their own gradient.
    fn backward(&self, pass: &Pass, dropout: Option<Dropout>, grads: &mut Tensors) {
        let Pass { seen, x, a, top, logits: dlogits } = pass;
        let n = a.len() / self.shape.hidden;
        add_bias_backward(values(grads, B), dlogits);
        linear_grad_weight(values(grads, U), dlogits, top, self.outer(n), self.precision);
        let mut da = vec![0.0; a.len()];
        linear_grad_input(&mut da, dlogits, self.values(U), self.outer(n), self.precision);
        leave_out(&mut da, dropout, 0);
        da.iter_mut().zip(a).for_each(|(da, a)| *da *= 1.0 - a * a);
        add_bias_backward(values(grads, D), &da);
        linear_grad_weight(values(grads, H), &da, x, self.inner(n), self.precision);
        let mut dx = vec![0.0; x.len()];
        linear_grad_input(&mut dx, &da, self.values(H), self.inner(n), self.precision);
        if self.shape.direct {
            linear_grad_weight(values(grads, W), dlogits, x, self.straight(n), self.precision);
            add_linear_grad_input(&mut dx, dlogits, self.values(W), self.straight(n), self.precision);
        }
        embedding_backward(values(grads, C), &dx, seen, self.shape.embedding);
    }

    fn values(&self, tensor: usize) -> &[f32] {
        &self.weights.0[tensor].values
    }

    /// Of the product with H.
    fn inner(&self, rows: usize) -> LinearShape {
        LinearShape { rows, inputs: self.shape.seen(), outputs: self.shape.hidden }
    }

    /// Of the product with U.
    fn outer(&self, rows: usize) -> LinearShape {
        LinearShape { rows, inputs: self.shape.hidden, outputs: self.shape.vocab_size }
    }

    /// Of the product with W.
    fn straight(&self, rows: usize) -> LinearShape {
        LinearShape { rows, inputs: self.shape.seen(), outputs: self.shape.vocab_size }
    }
}

fn values(grads: &mut Tensors, tensor: usize) -> &mut [f32] {
    &mut grads.0[tensor].values
}

/// What each of `ids[T·B]` sees of its row, itself first: `[T·B, C]`. Moves `state` on.
fn see(ids: &[u32], state: &mut State, context: usize) -> Vec<u32> {
    let mut seen = Vec::with_capacity(ids.len() * context);
    for ids in ids.chunks(state.0.len()) {
        for (row, &id) in state.0.iter_mut().zip(ids) {
            row.pop_back();
            row.push_front(id);
            seen.extend(row.iter().copied());
        }
    }
    seen
}

fn tanh(x: &mut [f32]) {
    for x in x {
        *x = x.tanh();
    }
}
