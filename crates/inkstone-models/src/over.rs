//! A source of weights over another one.

use inkstone_nn::{Embedding, Projection};

use crate::ModelError;
use crate::weights::{Wanted, WantedLayer, Weights};

/// A source that makes projections in its own way, of what another one has, and embeddings if it likes, and leaves everything else to
/// it.
pub struct Over<'a, F, E = Below> {
    inner: &'a mut dyn Weights,
    projection: F,
    embedding: E,
}

/// The embedding that the source below makes.
pub type Below = fn(&mut dyn Weights, &WantedLayer<'_>) -> Result<Embedding, ModelError>;

impl<'a, F> Over<'a, F>
where
    F: FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Projection, ModelError>,
{
    /// `projection` is given the source below and what is wanted.
    pub fn new(inner: &'a mut dyn Weights, projection: F) -> Self {
        Self { inner, projection, embedding: |inner, wanted| inner.embedding(wanted) }
    }

    /// Makes embeddings in its own way, too.
    #[must_use]
    pub fn embedding<E>(self, embedding: E) -> Over<'a, F, E>
    where
        E: FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Embedding, ModelError>,
    {
        Over { inner: self.inner, projection: self.projection, embedding }
    }
}

impl<F, E> Weights for Over<'_, F, E>
where
    F: FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Projection, ModelError>,
    E: FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Embedding, ModelError>,
{
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        self.inner.tensor(wanted)
    }

    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        (self.projection)(self.inner, wanted)
    }

    fn embedding(&mut self, wanted: &WantedLayer<'_>) -> Result<Embedding, ModelError> {
        (self.embedding)(self.inner, wanted)
    }

    fn below(&mut self) -> Option<&mut dyn Weights> {
        Some(&mut *self.inner)
    }
}
