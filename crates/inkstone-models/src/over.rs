//! A source of weights over another one.

use inkstone_nn::{Embedding, Projection};

use crate::ModelError;
use crate::weights::{Wanted, WantedLayer, Weights};

/// A source that makes projections in its own way, of what another one has, and leaves everything else to it.
pub struct Over<'a, F> {
    inner: &'a mut dyn Weights,
    projection: F,
    embedding: Option<MakeEmbedding<'a>>,
}

/// Makes an embedding of what the source below has.
type MakeEmbedding<'a> = Box<dyn FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Embedding, ModelError> + 'a>;

impl<'a, F> Over<'a, F>
where
    F: FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Projection, ModelError>,
{
    /// `projection` is given the source below and what is wanted.
    pub fn new(inner: &'a mut dyn Weights, projection: F) -> Self {
        Self { inner, projection, embedding: None }
    }

    /// Makes embeddings in its own way, too.
    #[must_use]
    pub fn embedding(
        mut self,
        embedding: impl FnMut(&mut dyn Weights, &WantedLayer<'_>) -> Result<Embedding, ModelError> + 'a,
    ) -> Self {
        self.embedding = Some(Box::new(embedding));
        self
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
        match &mut self.embedding {
            Some(embedding) => embedding(self.inner, wanted),
            None => self.inner.embedding(wanted),
        }
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
