//! BERT and RoBERTa: an encoder with layer normalisation after each part, learned positions and segments; a masked-language
//! head, and for BERT one that tells whether the second sentence follows the first.
//!
//! Papers: BERT (arXiv:1810.04805, section 3), RoBERTa (1907.11692). Weights and config as in Hugging Face's
//! `BertForPreTraining`, `BertForMaskedLM` and `RobertaForMaskedLM`, and the classes with a head for a task, which stands in
//! `heads.rs`; which heads there are is told by `architectures`.
//!
//! Departures: no dropout.
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h heads, d head width, f feed-forward width,
//! v vocabulary.

#![allow(non_snake_case, reason = "Hugging Face's names")]

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use inkstone_nn::{Activation, Embedding, LayerNorm, Projection, ops};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions, Kind};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes, expect_word};
use crate::heads::{is_task, judges_rows};
use crate::pass::Pass;
use crate::rows::{Rows, attend, heads_of};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// `bert` or `roberta`.
    #[serde(default = "bert")]
    model_type: String,
    /// The class, which says what heads there are.
    #[serde(default)]
    architectures: Vec<String>,
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    hidden_size: usize,
    /// Blocks.
    num_hidden_layers: usize,
    /// Heads (h).
    num_attention_heads: usize,
    /// Width of the feed-forward layer (f).
    intermediate_size: usize,
    /// The function of the feed-forward layer and of the head.
    #[serde(default = "gelu")]
    hidden_act: String,
    /// Rows of the table of positions.
    max_position_embeddings: usize,
    /// Kinds of segments.
    #[serde(default = "two")]
    type_vocab_size: usize,
    /// Added to the variance in layer normalisation.
    #[serde(default = "default_eps")]
    layer_norm_eps: f64,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// The id of padding; RoBERTa's positions count from it.
    #[serde(default)]
    pad_token_id: Option<u32>,
    /// Whether the head is the embedding.
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

fn bert() -> String {
    "bert".into()
}

fn gelu() -> String {
    "gelu".into()
}

fn two() -> usize {
    2
}

fn default_eps() -> f64 {
    1e-12
}

fn default_range() -> f64 {
    0.02
}

fn yes() -> bool {
    true
}

impl crate::architecture::Config for Config {
    fn validate(&self) -> Result<(), ModelError> {
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ])?;
        let (width, heads, rows) = (self.hidden_size, self.num_attention_heads, self.max_position_embeddings);
        expect(width % heads == 0, "hidden_size", width, || format!("a multiple of num_attention_heads = {heads}"))?;
        let offset = self.first_position() as usize;
        expect(rows > offset, "max_position_embeddings", rows, || format!("more than {offset}"))?;
        expect(self.tie_word_embeddings, "tie_word_embeddings", false, || "true".into())?;
        expect_word("hidden_act", &self.hidden_act, Activation::NAMES)
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.max_position_embeddings - self.first_position() as usize,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_heads: self.num_attention_heads,
            head_width: self.hidden_size / self.num_attention_heads,
            feed_forward: self.intermediate_size,
        }
    }

    /// A feed-forward layer of four times the width.
    fn complete(recipe: &mut Map<String, Value>) {
        let width = recipe.get("hidden_size").and_then(Value::as_u64).unwrap_or(0);
        recipe.entry("intermediate_size").or_insert(json!(width.saturating_mul(4)));
    }
}

impl Config {
    fn is_roberta(&self) -> bool {
        self.model_type == "roberta"
    }

    /// The row of the table of positions that the first token gets.
    fn first_position(&self) -> u32 {
        if self.is_roberta() { self.pad_token_id.unwrap_or(1).saturating_add(1) } else { 0 }
    }

    fn judges_sentences(&self) -> bool {
        !self.is_roberta() && self.architectures.iter().any(|class| class == "BertForPreTraining")
    }

    /// Whether the class has a masked-language head, or one for another task.
    fn restores(&self) -> bool {
        !is_task(&self.architectures)
    }

    /// Whether the first token is projected for whoever judges the row.
    fn pools(&self) -> bool {
        self.judges_sentences() || (!self.is_roberta() && judges_rows(&self.architectures))
    }

    fn activation(&self) -> Activation {
        Activation::named(&self.hidden_act).unwrap_or(Activation::Relu)
    }
}

/// Embeddings of tokens, positions and segments, normalised.
#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    LayerNorm: LayerNorm,
}

/// Queries, keys and values.
#[derive(Module, Debug)]
struct SelfAttention {
    query: Projection,
    key: Projection,
    value: Projection,
}

/// A projection into the residual stream, and the norm of what comes of it.
#[derive(Module, Debug)]
struct Output {
    dense: Projection,
    LayerNorm: LayerNorm,
}

/// Attention; `self_` is `self` in the names of the weights.
#[derive(Module, Debug)]
struct Attention {
    self_: SelfAttention,
    output: Output,
}

/// One projection.
#[derive(Module, Debug)]
struct Layer {
    dense: Projection,
}

/// A block: `norm(x + attention(x))`, then `norm(x + output(gelu(intermediate(x))))`.
#[derive(Module, Debug)]
struct Block {
    attention: Attention,
    intermediate: Layer,
    output: Output,
}

/// The blocks.
#[derive(Module, Debug)]
struct Blocks {
    layer: Vec<Block>,
}

/// Embeddings, blocks, and the projection of the first token where there is one.
#[derive(Module, Debug)]
struct Encoder {
    embeddings: Embeddings,
    encoder: Blocks,
    pooler: Option<Layer>,
}

/// What stands before the product with the embedding.
#[derive(Module, Debug)]
struct Transform {
    dense: Projection,
    LayerNorm: LayerNorm,
}

/// BERT's masked-language head.
#[derive(Module, Debug)]
struct Predictions {
    transform: Transform,
    bias: Param<Tensor<1>>,
}

/// BERT's heads.
#[derive(Module, Debug)]
struct Heads {
    predictions: Predictions,
    seq_relationship: Option<Projection>,
}

/// RoBERTa's masked-language head.
#[derive(Module, Debug)]
struct RobertaHead {
    dense: Projection,
    layer_norm: LayerNorm,
    bias: Param<Tensor<1>>,
}

/// `BertForPreTraining`, `BertForMaskedLM`.
#[derive(Module, Debug)]
pub(crate) struct Bert {
    bert: Encoder,
    cls: Option<Heads>,
    #[module(skip)]
    config: Config,
}

/// `RobertaForMaskedLM`.
#[derive(Module, Debug)]
pub(crate) struct Roberta {
    roberta: Encoder,
    lm_head: Option<RobertaHead>,
    #[module(skip)]
    config: Config,
}

/// An encoder with its heads, under the names of either.
#[derive(Module, Debug)]
pub(crate) enum MaskedEncoder {
    /// Google's.
    Bert(Bert),
    /// Facebook's.
    Roberta(Roberta),
}

impl Architecture for MaskedEncoder {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] =
        &[("bert", "BertForPreTraining"), ("roberta", "RobertaForMaskedLM")];
    const KIND: Kind = Kind::Encoder;

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std, eps) = (config.hidden_size, config.vocab_size, config.initializer_range, config.layer_norm_eps);
        let (square, restores) = (Shape { inputs: e, outputs: e, bias: true, std }, config.restores());
        // The lists of positions, heads that this class lacks, and the names of what is shared.
        builder.ignore(&["position_ids", "decoder.weight", "decoder.bias"]);
        if !config.judges_sentences() {
            builder.ignore(&[
                "pooler.dense.weight",
                "pooler.dense.bias",
                "seq_relationship.weight",
                "seq_relationship.bias",
            ]);
        }
        if restores {
            builder.tied_head("decoder.weight", [v, e]);
        }
        if config.is_roberta() {
            builder.optional_prefix("roberta.");
            let roberta = Encoder::build(&config, &mut builder.at("roberta"))?;
            let lm_head =
                restores.then(|| RobertaHead::build(square, (v, eps), &mut builder.at("lm_head"))).transpose()?;
            Ok(Self::Roberta(Roberta { roberta, lm_head, config }))
        } else {
            builder.optional_prefix("bert.");
            let bert = Encoder::build(&config, &mut builder.at("bert"))?;
            let judges = config.judges_sentences();
            let cls = restores.then(|| Heads::build(square, (v, eps, judges), &mut builder.at("cls"))).transpose()?;
            Ok(Self::Bert(Bert { bert, cls, config }))
        }
    }

    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = Rows::new(ids.len(), batch, pass);
        let encoder = self.encoder();
        let x_ne = encoder.embeddings.forward(ids, self.positions(ids, &rows), pass);
        let mut x_ne = pass.observe(|| "embeddings".into(), x_ne);
        for (n, block) in encoder.encoder.layer.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (self.config(), &rows), pass);
        }
        x_ne
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let head = match self {
            Self::Bert(Bert { cls, .. }) => {
                cls.as_ref().map(|Heads { predictions: Predictions { transform, bias }, .. }| {
                    (&transform.dense, &transform.LayerNorm, bias)
                })
            }
            Self::Roberta(Roberta { lm_head, .. }) => {
                lm_head.as_ref().map(|RobertaHead { dense, layer_norm, bias }| (dense, layer_norm, bias))
            }
        };
        let Some((dense, norm, bias)) = head else { return x_ne };
        let x_ne = norm.forward(self.config().activation().forward(dense.forward(x_ne)));
        let logits_nv = ops::add_bias(self.encoder().embeddings.word_embeddings.project(x_ne), bias.val());
        pass.observe(|| "logits".into(), logits_nv)
    }

    /// Logits `[b, 2]` of the second sentence following the first, or not, from the first token of each row.
    fn sentence_head(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>> {
        let Self::Bert(Bert { cls, .. }) = self else { return None };
        Some(cls.as_ref()?.seq_relationship.as_ref()?.forward(self.pooled(x_ne, batch)?))
    }

    fn pooled(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>> {
        let pooler = self.encoder().pooler.as_ref()?;
        Some(pooler.dense.forward(first_tokens(x_ne, batch)).tanh())
    }
}

impl RobertaHead {
    fn build(square: Shape, (v, eps): (usize, f64), builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let dense = builder.dense("dense", square)?;
        Ok(Self {
            dense,
            layer_norm: builder.layer_norm("layer_norm", square.outputs, eps)?,
            bias: builder.zeros("bias", v)?,
        })
    }
}

impl Heads {
    fn build(
        square: Shape,
        (v, eps, judges): (usize, f64, bool),
        builder: &mut Builder<'_>,
    ) -> Result<Self, ModelError> {
        let transform = Transform {
            dense: builder.dense("predictions.transform.dense", square)?,
            LayerNorm: builder.layer_norm("predictions.transform.LayerNorm", square.outputs, eps)?,
        };
        let predictions = Predictions { transform, bias: builder.zeros("predictions.bias", v)? };
        let pair = Shape { outputs: 2, ..square };
        let seq_relationship = judges.then(|| builder.dense("seq_relationship", pair)).transpose()?;
        Ok(Self { predictions, seq_relationship })
    }
}

/// The first of each row of `x[b·t, e]`, `[b, e]`.
pub(crate) fn first_tokens(x_ne: &Tensor<2>, batch: usize) -> Tensor<2> {
    let [n, e] = x_ne.dims();
    let x_bte: Tensor<3> = x_ne.clone().reshape([batch, n / batch.max(1), e]);
    x_bte.slice([0..batch, 0..1, 0..e]).reshape([batch, e])
}

impl MaskedEncoder {
    fn encoder(&self) -> &Encoder {
        match self {
            Self::Bert(named) => &named.bert,
            Self::Roberta(named) => &named.roberta,
        }
    }

    fn config(&self) -> &Config {
        match self {
            Self::Bert(named) => &named.config,
            Self::Roberta(named) => &named.config,
        }
    }

    /// The row of the table of positions for each token: its place in its document; in RoBERTa, where padding has a row of its
    /// own, the number of tokens so far.
    fn positions(&self, ids: &[u32], rows: &Rows) -> Vec<u32> {
        let places = rows.positions();
        if !self.config().is_roberta() {
            return places.to_vec();
        }
        let (pad, mut count) = (self.config().pad_token_id.unwrap_or(1), 0);
        let mut position = |(&id, &place): (&u32, &u32)| {
            count = if place == 0 { 0 } else { count } + u32::from(id != pad);
            if id == pad { pad } else { pad + count }
        };
        ids.iter().zip(places.iter()).map(&mut position).collect()
    }
}

impl Encoder {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, std) = (config.hidden_size, config.initializer_range);
        let mut at = builder.at("embeddings");
        let embeddings = Embeddings {
            word_embeddings: at.embedding("word_embeddings", [config.vocab_size, e], std)?,
            position_embeddings: at.embedding("position_embeddings", [config.max_position_embeddings, e], std)?,
            token_type_embeddings: at.embedding("token_type_embeddings", [config.type_vocab_size, e], std)?,
            LayerNorm: at.layer_norm("LayerNorm", e, config.layer_norm_eps)?,
        };
        let block = |_: usize, builder: &mut Builder<'_>| Block::build(config, builder);
        let encoder = Blocks { layer: builder.at("encoder").list("layer", config.num_hidden_layers, block)? };
        let square = Shape { inputs: e, outputs: e, bias: true, std };
        let pooler = config.pools().then(|| builder.dense("pooler.dense", square)).transpose()?;
        Ok(Self { embeddings, encoder, pooler: pooler.map(|dense| Layer { dense }) })
    }
}

impl Embeddings {
    fn forward(&self, ids: &[u32], positions: Vec<u32>, pass: &Pass<'_>) -> Tensor<2> {
        let segments = pass.segments.map_or_else(|| vec![0; ids.len()], <[u32]>::to_vec);
        let x_ne = self.word_embeddings.forward(ids.into()) + self.position_embeddings.forward(positions.into());
        self.LayerNorm.forward(x_ne + self.token_type_embeddings.forward(segments.into()))
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, std, eps) =
            (config.hidden_size, config.intermediate_size, config.initializer_range, config.layer_norm_eps);
        let shape = |inputs, outputs| Shape { inputs, outputs, bias: true, std };
        let mut at = builder.at("attention");
        let self_ = SelfAttention {
            query: at.dense("self.query", shape(e, e))?,
            key: at.dense("self.key", shape(e, e))?,
            value: at.dense("self.value", shape(e, e))?,
        };
        let output = Output {
            dense: at.dense("output.dense", shape(e, e))?,
            LayerNorm: at.layer_norm("output.LayerNorm", e, eps)?,
        };
        let attention = Attention { self_, output };
        let intermediate = Layer { dense: builder.dense("intermediate.dense", shape(e, f))? };
        let output = Output {
            dense: builder.dense("output.dense", shape(f, e))?,
            LayerNorm: builder.layer_norm("output.LayerNorm", e, eps)?,
        };
        Ok(Self { attention, intermediate, output })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, (config, rows): (&Config, &Rows), pass: &mut Pass<'_>) -> Tensor<2> {
        let SelfAttention { query, key, value } = &self.attention.self_;
        let heads = |x: &Projection| heads_of(x.forward(x_ne.clone()), rows, config.num_attention_heads);
        let how = rows.both_ways(config.hidden_size / config.num_attention_heads);
        let keys = pass.keys(n);
        let out_ne = attend(heads(query), (heads(key), heads(value)), &how, keys);
        let attended_ne = self.attention.output.dense.forward(out_ne);
        let attended_ne = pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let x_ne = self.attention.output.LayerNorm.forward(x_ne + attended_ne);
        let inner_nf = config.activation().forward(self.intermediate.dense.forward(x_ne.clone()));
        let fed_ne = pass.observe(|| format!("layers.{n}.mlp"), self.output.dense.forward(inner_nf));
        pass.observe(|| format!("layers.{n}"), self.output.LayerNorm.forward(x_ne + fed_ne))
    }
}
