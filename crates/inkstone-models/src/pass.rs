//! What a forward pass may be given besides the ids: borders of documents, a cache, an observer.

use burn::tensor::Tensor;
use inkstone_nn::ops::Attention;

/// One way through a model.
pub struct Pass<'a> {
    /// For each position `[b, t]` the first position of its row that it may attend to; `None`: 0.
    pub starts: Option<&'a [u32]>,
    /// For each position the end of what it may attend to: in an encoder where its document ends, or padding begins; in a decoder
    /// where a prefix ends that sees all of itself. `None`: the end of the row, or its own position.
    pub ends: Option<&'a [u32]>,
    /// For each position of an encoder its segment: 0 for the first sentence, 1 for the second; `None`: 0.
    pub segments: Option<&'a [u32]>,
    /// For each position its place in a shortened text and in its span, for architectures that tell both
    /// (arXiv:2103.10360, section 2.2); `None`: where it stands, and 0.
    pub places: Option<&'a [[u32; 2]]>,
    /// Where the tokens stand in a dictionary, for architectures that tell it; `None`: all in one segment.
    pub tree: Option<Tree<'a>>,
    /// What an encoder-decoder reads. With a cache only the first pass needs it.
    pub source: Option<Source<'a>>,
    /// Keys and values of the positions before; new ones are added. Only with one row.
    pub cache: Option<&'a mut Cache>,
    /// Keys and values of tokens of several sequences, instead of a cache. Only with one row, and only in decoders.
    pub store: Option<&'a mut dyn Store>,
    /// Who looks on.
    pub observer: &'a mut dyn Observer,
}

/// Where tokens stand in a dictionary, whose keys and values are segments (CPM-Bee).
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    /// For each position `[b, t]` of the pass the number of its token among those of the same kind, 0 for any other token; empty: 0.
    pub numbers: &'a [u32],
    /// For each position `[b, s]`, those that the cache holds first, its segment.
    pub segments: &'a [u32],
    /// For each row and each two of its m segments, `[b, m, m]`, how the one of the query is related to that of the key; 0 for the
    /// same segment.
    pub relations: &'a [u32],
}

/// What an encoder-decoder reads.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Token ids `[b, s]`, as many rows as the target has.
    pub ids: &'a [u32],
    /// For each row the tokens that are no padding; `None`: all.
    pub lengths: Option<&'a [u32]>,
}

/// Keeps the keys and values of several sequences, whose tokens go through a model side by side.
pub trait Store {
    /// The position of each token of the pass in its sequence.
    fn positions(&self) -> &[u32];

    /// Keeps `k[1, n, g, d]` and `v[1, n, g, d]` of the pass's tokens in block `layer` of the model, and attends from
    /// `q[1, n, h, d]` over each token's own sequence, to `[1, n, h, d]`.
    fn attend(&mut self, layer: usize, q: Tensor<4>, kv: (Tensor<4>, Tensor<4>), how: &Attention) -> Tensor<4>;
}

/// Where one block of a model finds the keys and values before its own.
pub(crate) enum Keys<'a> {
    /// In the one sequence's cache.
    Cached(&'a mut LayerCache),
    /// In the store of many, at this block.
    Stored(&'a mut dyn Store, usize),
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

impl<'a> Pass<'a> {
    /// A pass over whole rows, without a cache.
    pub fn new(observer: &'a mut dyn Observer) -> Self {
        Self {
            starts: None,
            ends: None,
            segments: None,
            places: None,
            tree: None,
            source: None,
            cache: None,
            store: None,
            observer,
        }
    }

    /// Where block `n` finds keys and values, if anywhere.
    pub(crate) fn keys(&mut self, n: usize) -> Option<Keys<'_>> {
        match &mut self.store {
            Some(store) => Some(Keys::Stored(&mut **store, n)),
            None => self.cache.as_deref_mut().map(|cache| Keys::Cached(cache.layer(n))),
        }
    }

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
    /// Keys and values of the source.
    pub(crate) cross: Option<(Vec<f32>, Vec<f32>)>,
    row: usize,
}

impl Cache {
    /// Room for `capacity` positions of `row` numbers in each of `layers` blocks.
    pub(crate) fn new(layers: usize, row: usize, capacity: usize) -> Self {
        let empty = || Vec::with_capacity(capacity * row);
        Self { layers: (0..layers).map(|_| LayerCache { k: empty(), v: empty(), cross: None, row }).collect() }
    }

    /// Positions so far.
    pub fn len(&self) -> usize {
        // A block may have no attention, and keep nothing.
        self.layers.iter().map(LayerCache::len).max().unwrap_or(0)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all positions from `length` on.
    pub fn truncate(&mut self, length: usize) {
        for layer in &mut self.layers {
            layer.k.truncate(length * layer.row);
            layer.v.truncate(length * layer.row);
        }
    }

    /// Whether it holds the source of an encoder-decoder.
    pub(crate) fn has_source(&self) -> bool {
        self.layers.first().is_some_and(|layer| layer.cross.is_some())
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
