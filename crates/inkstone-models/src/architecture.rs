//! What an architecture is: the trait that each model file implements, and the entry of the registry that is made of it.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};
use inkstone_nn::{Gradient, Precision};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::ModelError;
use crate::builder::Builder;
use crate::fields::fields_of;
use crate::pass::Pass;

/// An architecture: its `config.json`, how it is built, what it computes.
pub(crate) trait Architecture: Module + Sync + 'static {
    /// The fields of `config.json` that matter to the maths.
    type Config: Config;

    /// Values of `model_type`, each with the name of the class that other programs make of it.
    const TYPES: &'static [(&'static str, &'static str)];
    /// What it reads and what it predicts.
    const KIND: Kind = Kind::Decoder;
    /// Whether tokens of several sequences may go through it side by side: not where it adds biases of its own to the scores.
    const SIDE_BY_SIDE: bool = true;

    /// Builds the model over weights from wherever.
    fn build(config: Self::Config, builder: &mut Builder<'_>) -> Result<Self, ModelError>;

    /// The residual stream that the head reads, `[n, e]`, of `ids[b, t]` with `n = b·t`.
    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2>;

    /// `[n, e]` to logits `[n, v]`.
    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2>;

    /// The weight `[v, e]` of a head that is one product and nothing else, and its precision: the loss need not hold all logits.
    fn plain_head(&self) -> Option<(Tensor<2>, Precision)> {
        None
    }

    /// The first token of each row as the head of a task reads it, `[b, e]`, where the class projects it.
    fn pooled(&self, _x_ne: &Tensor<2>, _batch: usize) -> Option<Tensor<2>> {
        None
    }

    /// Logits `[b, 2]` about the two sentences of each row, where there is a head for it.
    fn sentence_head(&self, _x_ne: &Tensor<2>, _batch: usize) -> Option<Tensor<2>> {
        None
    }
}

/// What an architecture reads and what it predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Reads from the left; predicts the next token.
    Decoder,
    /// Reads both ways; predicts the tokens that were masked.
    Encoder,
    /// Reads a source both ways; predicts the next token of a target.
    EncoderDecoder,
}

/// The fields of an architecture's `config.json`.
pub(crate) trait Config: Serialize + DeserializeOwned {
    /// The fields that say how many blocks there are.
    const LAYERS: &'static [&'static str] = &["num_hidden_layers"];
    /// The field that says how long a sequence may be.
    const POSITIONS: &'static str = "max_position_embeddings";

    /// Refuses what makes no sense or is not implemented.
    fn validate(&self) -> Result<(), ModelError>;

    /// The sizes that everybody may want to know.
    fn dimensions(&self) -> Dimensions;

    /// Fills in what a recipe may leave out although a `config.json` may not, or has another default for.
    fn complete(_recipe: &mut Map<String, Value>) {}

    /// Reads and checks `config.json`.
    fn from_json(config: &Value) -> Result<Self, ModelError> {
        let config: Self = serde_json::from_value(config.clone())?;
        config.validate()?;
        Ok(config)
    }
}

/// Sizes of a model, by the same names whatever its `config.json` calls them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dimensions {
    /// Token ids.
    pub vocabulary: usize,
    /// Longest sequence.
    pub positions: usize,
    /// Width of the residual stream.
    pub width: usize,
    /// Blocks, of encoder and decoder together.
    pub layers: usize,
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub key_heads: usize,
    /// Width of a head.
    pub head_width: usize,
    /// Width of the feed-forward layer.
    pub feed_forward: usize,
}

/// An architecture in the registry.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) side_by_side: bool,
    pub(crate) types: &'static [(&'static str, &'static str)],
    pub(crate) layers: &'static [&'static str],
    pub(crate) positions: &'static str,
    pub(crate) fields: fn() -> &'static [&'static str],
    pub(crate) complete: fn(&mut Map<String, Value>),
    pub(crate) dimensions: fn(&Value) -> Result<Dimensions, ModelError>,
    /// The whole `config.json` of a part of one, defaults included.
    pub(crate) resolve: fn(&Value) -> Result<Value, ModelError>,
    pub(crate) build: Build,
}

/// Makes the network of a `config.json`, over the builder's weights.
type Build = fn(&Value, &mut Builder<'_>) -> Result<Box<dyn Network>, ModelError>;

/// The entry of the architecture `A`.
pub(crate) const fn entry<A: Architecture>() -> Entry {
    Entry {
        kind: A::KIND,
        side_by_side: A::SIDE_BY_SIDE,
        types: A::TYPES,
        layers: A::Config::LAYERS,
        positions: A::Config::POSITIONS,
        fields: fields_of::<A::Config>,
        complete: A::Config::complete,
        dimensions: |config| Ok(A::Config::from_json(config)?.dimensions()),
        resolve: |config| Ok(serde_json::to_value(A::Config::from_json(config)?)?),
        build: |config, builder| Ok(Box::new(A::build(A::Config::from_json(config)?, builder)?)),
    }
}

/// What is done with each parameter: its name, its shape, its values.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&str, &[usize], &[f32]);
/// What is done with each gradient: the parameter's name, the gradient.
pub(crate) type VisitGradient<'a> = &'a mut dyn FnMut(&str, Gradient);
/// What is done to each parameter: its name, its shape, its values.
pub(crate) type Update<'a> = &'a mut dyn FnMut(&str, &[usize], &mut [f32]);

/// A built model of any architecture.
pub(crate) trait Network: std::fmt::Debug + Send + Sync {
    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2>;
    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2>;
    fn plain_head(&self) -> Option<(Tensor<2>, Precision)>;
    fn pooled(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>>;
    fn sentence_head(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>>;
    fn copy(&self) -> Box<dyn Network>;
    fn valid(&self) -> Box<dyn Network>;
    fn visit_parameters(&self, visit: Visit<'_>);
    fn visit_gradients(&self, gradients: &mut Gradients, visit: VisitGradient<'_>);
    fn update_parameters(self: Box<Self>, update: Update<'_>) -> Box<dyn Network>;
    fn train_only(self: Box<Self>, keep: &dyn Fn(&str) -> bool) -> Box<dyn Network>;
    fn visit_trainable(&self, visit: Visit<'_>);
    fn update_trainable(self: Box<Self>, update: Update<'_>) -> Box<dyn Network>;
}

impl<A: Architecture> Network for A {
    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        Architecture::hidden(self, ids, batch, pass)
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        Architecture::head(self, x_ne, pass)
    }

    fn plain_head(&self) -> Option<(Tensor<2>, Precision)> {
        Architecture::plain_head(self)
    }

    fn pooled(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>> {
        Architecture::pooled(self, x_ne, batch)
    }

    fn sentence_head(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>> {
        Architecture::sentence_head(self, x_ne, batch)
    }

    fn copy(&self) -> Box<dyn Network> {
        Box::new(self.clone())
    }

    fn valid(&self) -> Box<dyn Network> {
        Box::new(Module::valid(self))
    }

    fn visit_parameters(&self, visit: Visit<'_>) {
        inkstone_nn::visit_parameters(self, visit);
    }

    fn visit_gradients(&self, gradients: &mut Gradients, visit: VisitGradient<'_>) {
        inkstone_nn::visit_gradients(self, gradients, visit);
    }

    fn update_parameters(self: Box<Self>, update: Update<'_>) -> Box<dyn Network> {
        Box::new(inkstone_nn::update_parameters(*self, update))
    }

    fn train_only(self: Box<Self>, keep: &dyn Fn(&str) -> bool) -> Box<dyn Network> {
        Box::new(inkstone_nn::train_only(*self, keep))
    }

    fn visit_trainable(&self, visit: Visit<'_>) {
        inkstone_nn::visit_trainable(self, visit);
    }

    fn update_trainable(self: Box<Self>, update: Update<'_>) -> Box<dyn Network> {
        Box::new(inkstone_nn::update_trainable(*self, update))
    }
}
