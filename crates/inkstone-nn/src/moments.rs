//! What goes into a product, summed up.

use std::sync::{Mutex, PoisonError};

use inkstone_kernels::{LinearShape, Precision, linear_grad_weight};

/// Sums over all inputs `x[n, inputs]` that a product was given: of the squares, or of all products of two.
#[derive(Debug)]
pub struct Moments {
    inputs: usize,
    pairs: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    rows: u64,
    /// `[inputs]`, or `[inputs, inputs]`.
    sums: Vec<f32>,
}

impl Moments {
    /// Nothing yet. With `pairs` the products of every two inputs are summed, else the squares alone.
    pub fn new(inputs: usize, pairs: bool) -> Self {
        let n = if pairs { inputs * inputs } else { inputs };
        Self { inputs, pairs, seen: Mutex::new(Seen { rows: 0, sums: vec![0.0; n] }) }
    }

    /// Adds the rows of `x[n, inputs]`.
    pub(crate) fn add(&self, x: &[f32]) {
        let rows = x.len() / self.inputs.max(1);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.rows += rows as u64;
        if self.pairs {
            let shape = LinearShape { rows, inputs: self.inputs, outputs: self.inputs };
            let mut products = vec![0.0; seen.sums.len()];
            linear_grad_weight(&mut products, x, x, shape, Precision::F32);
            seen.sums.iter_mut().zip(&products).for_each(|(sum, product)| *sum += product);
        } else {
            for row in x.chunks_exact(self.inputs) {
                seen.sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x * x);
            }
        }
    }

    /// The mean square of each input, `[inputs]`.
    pub fn mean_squares(&self) -> Vec<f32> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let step = if self.pairs { self.inputs + 1 } else { 1 };
        seen.sums.iter().step_by(step).map(|sum| sum / seen.rows.max(1) as f32).collect()
    }

    /// The mean product of every two inputs, `[inputs, inputs]`, where they were summed.
    pub fn products(&self) -> Option<Vec<f32>> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        self.pairs.then(|| seen.sums.iter().map(|sum| sum / seen.rows.max(1) as f32).collect())
    }
}
