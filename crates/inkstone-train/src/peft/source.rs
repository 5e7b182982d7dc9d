//! Sources of weights that put an adapter around what another source makes, or into it.

use inkstone_models::{ModelError, Wanted, WantedLayer, Weights};
use inkstone_nn::{Embedding, Projection};

use super::adapter::{Adapter, AdapterError};

/// Projections with an adapter around them.
pub struct Adapting<'a> {
    inner: &'a mut dyn Weights,
    adapter: &'a Adapter,
    seed: u64,
    projections: Vec<String>,
}

/// Projections with adapters in their weights.
pub struct Merging<'a> {
    inner: &'a mut dyn Weights,
    adapters: &'a [(Adapter, f64)],
    projections: Vec<String>,
}

impl<'a> Adapting<'a> {
    /// `adapter` around what `inner` makes; what it lacks is drawn from `seed`.
    pub fn new(inner: &'a mut dyn Weights, adapter: &'a Adapter, seed: u64) -> Self {
        Self { inner, adapter, seed, projections: Vec::new() }
    }

    /// Complains of an adapter that does not fit the model.
    pub fn finish(self) -> Result<(), AdapterError> {
        self.adapter.finish(&self.projections)
    }
}

impl<'a> Merging<'a> {
    /// `adapters`, each with a factor, in the weights that `inner` has, one after the other.
    pub fn new(inner: &'a mut dyn Weights, adapters: &'a [(Adapter, f64)]) -> Self {
        Self { inner, adapters, projections: Vec::new() }
    }

    /// Complains of an adapter that does not fit the model.
    pub fn finish(self) -> Result<(), AdapterError> {
        self.adapters.iter().try_for_each(|(adapter, _)| adapter.finish(&self.projections))
    }
}

impl Weights for Adapting<'_> {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        self.inner.tensor(wanted)
    }

    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        self.projections.push(wanted.name.to_owned());
        let base = self.inner.projection(wanted)?;
        if !self.adapter.targets(wanted.name) {
            return Ok(base);
        }
        let change = self.adapter.change(wanted, &base, self.seed)?;
        Ok(base.adapted(change))
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

impl Weights for Merging<'_> {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        self.inner.tensor(wanted)
    }

    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        self.projections.push(wanted.name.to_owned());
        if !self.adapters.iter().any(|(adapter, _)| adapter.targets(wanted.name)) {
            return self.inner.projection(wanted);
        }
        let mut weights = wanted.read(self.inner)?;
        for (adapter, factor) in self.adapters.iter().filter(|(adapter, _)| adapter.targets(wanted.name)) {
            if !weights.weight.is_empty() {
                adapter.merge(wanted, &mut weights, *factor)?;
            }
        }
        Ok(wanted.make(weights))
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
