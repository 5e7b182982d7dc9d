//! What a forward pass may be given besides the ids: borders of documents, a cache, an observer.

use burn::tensor::Tensor;

/// One way through a model.
pub struct Pass<'a> {
    /// For each position `[b, t]` the first position of its row that it may attend to; `None`: 0.
    pub starts: Option<&'a [u32]>,
    /// Keys and values of the positions before; new ones are added. Only with one row.
    pub cache: Option<&'a mut Cache>,
    /// Who looks on.
    pub observer: &'a mut dyn Observer,
}

/// Looks at named points inside a model, and may replace what is there.
///
/// Points: `embeddings`, for every block `layers.N.attention`, `layers.N.mlp` (what each adds) and
/// `layers.N` (after it), `norm`, `logits`. Values are `[n, width]` with `n = b·t`.
pub trait Observer {
    /// Whether anybody looks; when not, names are not even made.
    fn active(&self) -> bool {
        true
    }

    /// What is at `point` from here on.
    fn observe(&mut self, point: &str, value: Tensor<2>) -> Tensor<2>;
}

/// Nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn active(&self) -> bool {
        false
    }

    fn observe(&mut self, _point: &str, value: Tensor<2>) -> Tensor<2> {
        value
    }
}

impl Pass<'_> {
    /// Shows a value under a name that is made only when somebody looks.
    pub(crate) fn observe(&mut self, point: impl FnOnce() -> String, value: Tensor<2>) -> Tensor<2> {
        if self.observer.active() { self.observer.observe(&point(), value) } else { value }
    }
}

/// Keys and values of all positions so far, by block.
#[derive(Debug, Clone)]
pub struct Cache {
    layers: Vec<LayerCache>,
}

/// Keys and values of one block, `[positions, g, d]` each.
#[derive(Debug, Clone)]
pub(crate) struct LayerCache {
    pub(crate) k: Vec<f32>,
    pub(crate) v: Vec<f32>,
    row: usize,
}

impl Cache {
    /// Room for `capacity` positions of `row` numbers in each of `layers` blocks.
    pub(crate) fn new(layers: usize, row: usize, capacity: usize) -> Self {
        let empty = || Vec::with_capacity(capacity * row);
        Self { layers: (0..layers).map(|_| LayerCache { k: empty(), v: empty(), row }).collect() }
    }

    /// Positions so far.
    pub fn len(&self) -> usize {
        self.layers.first().map_or(0, LayerCache::len)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        &mut self.layers[layer]
    }
}

impl LayerCache {
    pub(crate) fn len(&self) -> usize {
        self.k.len() / self.row.max(1)
    }
}
