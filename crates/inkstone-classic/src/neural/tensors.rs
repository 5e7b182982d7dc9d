//! Named tensors: the weights of a network, its gradients, an optimiser's moments.

use std::path::Path;

use inkstone_formats::hf::ModelFolder;
use inkstone_formats::safetensors::TensorView;

use super::language_model::Layout;
use crate::random::{Draws, Purpose};
use crate::{ClassicError, Result};

/// A tensor with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name in weight files, e.g. `rnn.weight_ih_l0`.
    pub name: String,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// All tensors of a network in the order of [`Layout::tensors`].
#[derive(Debug, Clone, PartialEq)]
pub struct Tensors(pub Vec<Tensor>);

impl Tensors {
    /// Zeros.
    pub fn zeros(layout: &impl Layout) -> Self {
        let tensor = |(name, shape): (String, Vec<usize>)| {
            let values = vec![0.0; shape.iter().product()];
            Tensor { name, shape, values }
        };
        Self(layout.tensors().into_iter().map(tensor).collect())
    }

    /// Uniform draws within ± [`Layout::bound`].
    pub fn drawn(layout: &impl Layout, seed: u64) -> Self {
        let mut tensors = Self::zeros(layout);
        for (index, tensor) in (0..).zip(&mut tensors.0) {
            let bound = layout.bound(&tensor.name);
            let mut draws = Draws::new(seed, Purpose::Weights, index);
            tensor.values.iter_mut().for_each(|x| *x = bound * (2.0 * draws.uniform() as f32 - 1.0));
        }
        tensors
    }

    /// Reads them from a model folder.
    pub fn read(folder: &ModelFolder, path: &Path, layout: &impl Layout) -> Result<Self> {
        let wanted = layout.tensors();
        let malformed = |what| ClassicError::Malformed { path: path.to_owned(), what };
        if let Some(name) = folder.names().find(|name| !wanted.iter().any(|(known, _)| known == name)) {
            return Err(malformed(format!("a model of this shape has no tensor {name}")));
        }
        let read = |(name, shape): (String, Vec<usize>)| {
            let got = folder.tensor(&name)?.shape.to_vec();
            if got != shape {
                return Err(malformed(format!("the tensor {name} has the shape {got:?}, expected {shape:?}")));
            }
            Ok(Tensor { values: folder.f32(&name)?, name, shape })
        };
        wanted.into_iter().map(read).collect::<Result<_>>().map(Self)
    }

    /// What a file is written from, each name behind `prefix`.
    pub(crate) fn views(&self, prefix: &str) -> Vec<(String, TensorView<'_>)> {
        let named = |tensor: &Tensor| format!("{prefix}{}", tensor.name);
        self.0.iter().map(|tensor| (named(tensor), TensorView::f32(&tensor.shape, &tensor.values))).collect()
    }

    /// Numbers in all tensors.
    pub fn len(&self) -> usize {
        self.0.iter().map(|tensor| tensor.values.len()).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The square root of the sum of all squares.
    pub fn norm(&self) -> f64 {
        self.0.iter().map(|tensor| inkstone_kernels::sum_of_squares(&tensor.values)).sum::<f64>().sqrt()
    }
}
