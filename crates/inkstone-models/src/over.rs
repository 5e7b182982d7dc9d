//! A source of weights over another one.

use inkstone_nn::{Embedding, Projection};

use crate::ModelError;
use crate::weights::{Wanted, WantedLayer, Weights};

/// A source that makes projections in its own way, of what another one has, and leaves everything else to it.
pub struct Over<'a, F> {
    inner: &'a mut dyn Weights,
    projection: F,
}

impl<'a, F> Over<'a, F>
where
    F: FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Projection, ModelError>,
{
    /// `projection` is given the source below and what is wanted.
    pub fn new(inner: &'a mut dyn Weights, projection: F) -> Self {
        Self { inner, projection }
    }
}

impl<F> Weights for Over<'_, F>
where
    F: FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Projection, ModelError>,
{
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        self.inner.tensor(wanted)
    }

    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        (self.projection)(self.inner, wanted)
    }

    fn embedding(&mut self, wanted: &WantedLayer<'_>) -> Result<Embedding, ModelError> {
        self.inner.embedding(wanted)
    }

    fn optional_prefix(&mut self, prefix: &'static str) {
        self.inner.optional_prefix(prefix);
    }

    fn ignore(&mut self, suffixes: &[&'static str]) {
        self.inner.ignore(suffixes);
    }

    fn shared(&mut self, shape: [usize; 2]) {
        self.inner.shared(shape);
    }
}
