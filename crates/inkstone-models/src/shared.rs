//! Weights that several models share: read once, handed out as often as models are built of them.

use std::collections::BTreeMap;

use inkstone_nn::{Embedding, Projection};

use crate::ModelError;
use crate::weights::{Wanted, WantedLayer, Weights};

/// What a source gave when a first model was built of it. Layers are handed out again without being copied.
#[derive(Debug, Default)]
pub struct Shared {
    tensors: BTreeMap<String, Vec<f32>>,
    projections: BTreeMap<String, Projection>,
    embeddings: BTreeMap<String, Embedding>,
}

impl Shared {
    /// The source `inner`; what it gives is kept.
    pub fn recording<'a>(&'a mut self, inner: &'a mut dyn Weights) -> Recording<'a> {
        Recording { inner, kept: self }
    }

    /// A source of what was kept, for another model of the same config.
    pub fn again(&self) -> Again<'_> {
        Again(self)
    }
}

/// A source whose layers are kept.
pub struct Recording<'a> {
    inner: &'a mut dyn Weights,
    kept: &'a mut Shared,
}

impl Weights for Recording<'_> {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        let values = self.inner.tensor(wanted)?;
        self.kept.tensors.insert(wanted.name.to_owned(), values.clone());
        Ok(values)
    }

    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        let projection = self.inner.projection(wanted)?;
        self.kept.projections.insert(wanted.name.to_owned(), projection.clone());
        Ok(projection)
    }

    fn embedding(&mut self, wanted: &WantedLayer<'_>) -> Result<Embedding, ModelError> {
        let embedding = self.inner.embedding(wanted)?;
        self.kept.embeddings.insert(wanted.name.to_owned(), embedding.clone());
        Ok(embedding)
    }

    fn below(&mut self) -> Option<&mut dyn Weights> {
        Some(&mut *self.inner)
    }
}

/// A source of what was kept.
#[derive(Debug)]
pub struct Again<'a>(&'a Shared);

impl Weights for Again<'_> {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        kept(&self.0.tensors, wanted.name)
    }

    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        kept(&self.0.projections, wanted.name)
    }

    fn embedding(&mut self, wanted: &WantedLayer<'_>) -> Result<Embedding, ModelError> {
        kept(&self.0.embeddings, wanted.name)
    }
}

fn kept<T: Clone>(all: &BTreeMap<String, T>, name: &str) -> Result<T, ModelError> {
    let missing =
        || ModelError::Names { path: "kept weights".into(), missing: vec![name.to_owned()], unexpected: vec![] };
    all.get(name).cloned().ok_or_else(missing)
}
