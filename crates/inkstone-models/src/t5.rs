//! T5: an encoder and a decoder with RMSNorm before each part, whose only notion of position is a learned bias on the scores
//! by distance; every task is text to text.
//!
//! Papers: T5 (arXiv:1910.10683, section 2.1), the gated feed-forward layers of its later form (2002.05202). Weights and config
//! as in Hugging Face's `T5ForConditionalGeneration`.
//!
//! Departures: no dropout.
//!
//! Shapes: b batch, t target position, s source position, n = b·t, e width of the residual stream, h heads, d head width,
//! f feed-forward width, v vocabulary.

#![allow(non_snake_case, reason = "Hugging Face's names")]

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::ops::{Attention as How, Bias};
use inkstone_nn::{Activation, Embedding, Precision, Projection, RmsNorm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions, Kind};
use crate::builder::{Builder, Shape};
use crate::fields::{expect_sizes, expect_word};
use crate::pass::{Keys, LayerCache, Pass, Source};
use crate::relative::{Distances, biases};
use crate::rows::{Memory, Rows, attend, attend_source, heads_of};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    #[serde(alias = "hidden_size")]
    d_model: usize,
    /// Width of a head (d).
    d_kv: usize,
    /// Width of the feed-forward layer (f).
    d_ff: usize,
    /// Blocks of the encoder.
    #[serde(alias = "num_hidden_layers")]
    num_layers: usize,
    /// Blocks of the decoder; left out: as many.
    #[serde(default)]
    num_decoder_layers: Option<usize>,
    /// Heads (h).
    #[serde(alias = "num_attention_heads")]
    num_heads: usize,
    /// Kinds of distances.
    #[serde(default = "buckets")]
    relative_attention_num_buckets: usize,
    /// From this distance on all are of one kind.
    #[serde(default = "max_distance")]
    relative_attention_max_distance: usize,
    /// `relu`, or `gated-` and a function.
    #[serde(default = "relu")]
    feed_forward_proj: String,
    /// Added to the mean square in RMSNorm.
    #[serde(default = "default_eps")]
    layer_norm_epsilon: f64,
    /// Scales the initial weights.
    #[serde(default = "default_factor")]
    initializer_factor: f64,
    /// Longest sequence of the training; the biases know no limit.
    #[serde(default = "positions")]
    n_positions: usize,
    /// Whether the head is the embedding.
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    /// Whether what the head reads is divided by `√d_model`; left out: where it is the embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale_decoder_outputs: Option<bool>,
    /// What the decoder begins with.
    #[serde(default)]
    decoder_start_token_id: u32,
    /// Always.
    #[serde(default = "yes")]
    is_encoder_decoder: bool,
}

fn buckets() -> usize {
    32
}

fn max_distance() -> usize {
    128
}

fn relu() -> String {
    "relu".into()
}

fn default_eps() -> f64 {
    1e-6
}

fn default_factor() -> f64 {
    1.0
}

fn positions() -> usize {
    512
}

fn yes() -> bool {
    true
}

impl crate::architecture::Config for Config {
    const LAYERS: &'static [&'static str] = &["num_layers", "num_decoder_layers"];
    const POSITIONS: &'static str = "n_positions";

    fn validate(&self) -> Result<(), ModelError> {
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("d_kv", self.d_kv),
            ("d_ff", self.d_ff),
            ("num_layers", self.num_layers),
            ("num_decoder_layers", self.decoder_layers()),
            ("num_heads", self.num_heads),
            ("relative_attention_num_buckets", self.relative_attention_num_buckets / 4),
            (
                "relative_attention_max_distance",
                self.relative_attention_max_distance / self.relative_attention_num_buckets.max(1),
            ),
            ("n_positions", self.n_positions),
        ])?;
        expect_word("feed_forward_proj", self.gated().1, &["relu", "gelu", "gelu_new", "silu"])
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.n_positions,
            width: self.d_model,
            layers: self.num_layers + self.decoder_layers(),
            heads: self.num_heads,
            key_heads: self.num_heads,
            head_width: self.d_kv,
            feed_forward: self.d_ff,
        }
    }

    /// Heads that share the width; a feed-forward layer of four times the width.
    fn complete(recipe: &mut Map<String, Value>) {
        let number = |name: &str, default: u64| recipe.get(name).and_then(Value::as_u64).unwrap_or(default);
        let (width, heads) = (number("d_model", 0), number("num_heads", 1).max(1));
        let defaults = [("d_kv", width / heads), ("d_ff", width.saturating_mul(4))];
        for (field, value) in defaults {
            recipe.entry(field).or_insert(json!(value));
        }
    }
}

impl Config {
    fn decoder_layers(&self) -> usize {
        self.num_decoder_layers.unwrap_or(self.num_layers)
    }

    /// Whether the feed-forward layer is gated, and its function; a gated `gelu` is the one by the hyperbolic tangent.
    fn gated(&self) -> (bool, &str) {
        match self.feed_forward_proj.strip_prefix("gated-") {
            Some("gelu") => (true, "gelu_new"),
            Some(name) => (true, name),
            None => (false, &self.feed_forward_proj),
        }
    }

    fn activation(&self) -> Activation {
        Activation::named(self.gated().1).unwrap_or(Activation::Relu)
    }

    /// What the head's input is multiplied with.
    fn head_scale(&self) -> f32 {
        let scaled = self.scale_decoder_outputs.unwrap_or(self.tie_word_embeddings);
        if scaled { (self.d_model as f32).powf(-0.5) } else { 1.0 }
    }

    /// How distances are told apart; an encoder sees keys behind the query as well.
    fn distances(&self, both_ways: bool) -> Distances {
        let (kinds, longest) = (self.relative_attention_num_buckets, self.relative_attention_max_distance);
        Distances { kinds, longest, both_ways }
    }
}

/// Attention.
#[derive(Module, Debug)]
struct Attention {
    q: Projection,
    k: Projection,
    v: Projection,
    o: Projection,
    /// `[kinds of distances, h]`; the first block's serves all.
    relative_attention_bias: Option<Embedding>,
}

/// Attention to the own sequence.
#[derive(Module, Debug)]
struct SelfPart {
    SelfAttention: Attention,
    layer_norm: RmsNorm,
}

/// Attention to the source.
#[derive(Module, Debug)]
struct CrossPart {
    EncDecAttention: Attention,
    layer_norm: RmsNorm,
}

/// The feed-forward layer, `wo(f(wi(x)))`.
#[derive(Module, Debug)]
struct Plain {
    wi: Projection,
    wo: Projection,
}

/// The gated feed-forward layer, `wo(f(wi_0(x)) · wi_1(x))`.
#[derive(Module, Debug)]
struct Gated {
    wi_0: Projection,
    wi_1: Projection,
    wo: Projection,
}

/// Either.
#[derive(Module, Debug)]
enum FeedForward {
    Plain(Plain),
    Gated(Gated),
}

/// The feed-forward part.
#[derive(Module, Debug)]
struct FeedForwardPart {
    DenseReluDense: FeedForward,
    layer_norm: RmsNorm,
}

/// A block of the encoder.
#[derive(Module, Debug)]
struct EncoderBlock {
    layer: (SelfPart, FeedForwardPart),
}

/// A block of the decoder.
#[derive(Module, Debug)]
struct DecoderBlock {
    layer: (SelfPart, CrossPart, FeedForwardPart),
}

/// The encoder.
#[derive(Module, Debug)]
struct Encoder {
    block: Vec<EncoderBlock>,
    final_layer_norm: RmsNorm,
}

/// The decoder.
#[derive(Module, Debug)]
struct Decoder {
    block: Vec<DecoderBlock>,
    final_layer_norm: RmsNorm,
}

/// `T5ForConditionalGeneration`.
#[derive(Module, Debug)]
pub(crate) struct T5 {
    shared: Embedding,
    encoder: Encoder,
    decoder: Decoder,
    lm_head: Option<Projection>,
    #[module(skip)]
    config: Config,
}

impl Architecture for T5 {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("t5", "T5ForConditionalGeneration")];
    const KIND: Kind = Kind::EncoderDecoder;

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, eps, factor) =
            (config.d_model, config.vocab_size, config.layer_norm_epsilon, config.initializer_factor);
        builder.ignore(&["embed_tokens.weight"]);
        let shared = builder.embedding("shared", [v, e], factor)?;
        let mut at = builder.at("encoder");
        let encoder = Encoder {
            block: at.list("block", config.num_layers, |n, builder| EncoderBlock::build(&config, n, builder))?,
            final_layer_norm: at.rms_norm("final_layer_norm", e, eps)?,
        };
        let mut at = builder.at("decoder");
        let decoder = Decoder {
            block: at.list("block", config.decoder_layers(), |n, builder| DecoderBlock::build(&config, n, builder))?,
            final_layer_norm: at.rms_norm("final_layer_norm", e, eps)?,
        };
        let lm_head = if config.tie_word_embeddings {
            builder.tied_head("lm_head.weight", [v, e]);
            None
        } else {
            Some(builder.dense("lm_head", Shape { inputs: e, outputs: v, bias: false, std: factor })?)
        };
        Ok(Self { shared, encoder, decoder, lm_head, config })
    }

    /// What the decoder makes of `ids[b, t]` and of the pass's source; without one it reads the target alone.
    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let has_source = pass.cache.as_deref().is_some_and(super::pass::Cache::has_source);
        let source = pass.source.filter(|_| !has_source);
        let memory = source.map(|source| self.encode(&source, batch, pass));
        let rows = Rows::new(ids.len(), batch, pass);
        let mut x_ne = pass.observe(|| "decoder.embeddings".into(), self.shared.forward(ids.into()));
        let how = How { scale: 1.0, bias: self.decoder_bias(&rows), ..rows.causal(1) };
        for (n, block) in self.decoder.block.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (&self.config, &rows, &how, memory.as_ref()), pass);
        }
        pass.observe(|| "norm".into(), self.decoder.final_layer_norm.forward(x_ne))
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let x_ne = x_ne * self.config.head_scale();
        let logits_nv = match &self.lm_head {
            Some(head) => head.forward(x_ne),
            None => self.shared.project(x_ne),
        };
        pass.observe(|| "logits".into(), logits_nv)
    }
}

impl T5 {
    fn encode(&self, source: &Source<'_>, batch: usize, pass: &mut Pass<'_>) -> Memory {
        let rows = Rows::source(source, batch);
        let mask = rows.both_ways(1).mask;
        let mut x_me = pass.observe(|| "embeddings".into(), self.shared.forward(source.ids.into()));
        let table = self.encoder.block[0].layer.0.SelfAttention.relative_attention_bias.as_ref();
        let bias = distance_bias(table, self.config.distances(true), [0, rows.length, rows.length]);
        let how =
            How { scale: 1.0, starts: Arc::clone(&rows.starts), mask: mask.clone(), bias, precision: Precision::F32 };
        for (n, block) in self.encoder.block.iter().enumerate() {
            x_me = block.forward(x_me, n, (&self.config, &rows, &how), pass);
        }
        Memory { x_me: pass.observe(|| "encoder.norm".into(), self.encoder.final_layer_norm.forward(x_me)), rows, mask }
    }

    fn decoder_bias(&self, rows: &Rows) -> Bias {
        let table = self.decoder.block[0].layer.0.SelfAttention.relative_attention_bias.as_ref();
        let sizes = [rows.first, rows.length, rows.first + rows.length];
        distance_bias(table, self.config.distances(false), sizes)
    }
}

/// The bias of every query and key, `[1, h, t, s]`; queries begin at position `first`.
fn distance_bias(table: Option<&Embedding>, distances: Distances, [first, t, s]: [usize; 3]) -> Bias {
    table.map_or(Bias::None, |table| biases(table.forward(distances.kinds([first, t, s]).into()), [1, t, s]))
}

impl EncoderBlock {
    fn build(config: &Config, n: usize, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let own = SelfPart::build(config, n, &mut builder.at("layer.0"))?;
        Ok(Self { layer: (own, FeedForwardPart::build(config, &mut builder.at("layer.1"))?) })
    }

    fn forward(
        &self,
        x_ne: Tensor<2>,
        n: usize,
        (config, rows, how): (&Config, &Rows, &How),
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let (own, feed) = &self.layer;
        let attended_ne = own.forward(x_ne.clone(), (config, rows, how), None);
        let x_ne = x_ne + pass.observe(|| format!("encoder.layers.{n}.attention"), attended_ne);
        let fed_ne = feed.forward(x_ne.clone(), config);
        let x_ne = x_ne + pass.observe(|| format!("encoder.layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("encoder.layers.{n}"), x_ne)
    }
}

impl DecoderBlock {
    fn build(config: &Config, n: usize, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let own = SelfPart::build(config, n, &mut builder.at("layer.0"))?;
        let cross = CrossPart {
            EncDecAttention: Attention::build(config, false, &mut builder.at("layer.1.EncDecAttention"))?,
            layer_norm: builder.rms_norm("layer.1.layer_norm", config.d_model, config.layer_norm_epsilon)?,
        };
        Ok(Self { layer: (own, cross, FeedForwardPart::build(config, &mut builder.at("layer.2"))?) })
    }

    fn forward(
        &self,
        x_ne: Tensor<2>,
        n: usize,
        (config, rows, how, memory): (&Config, &Rows, &How, Option<&Memory>),
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let (own, cross, feed) = &self.layer;
        let cache = pass.cache.as_deref_mut().map(|cache| cache.layer(n));
        let attended_ne = own.forward(x_ne.clone(), (config, rows, how), cache);
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let cache = pass.cache.as_deref_mut().map(|cache| cache.layer(n));
        let x_ne = match cross.forward(x_ne.clone(), (config, rows), memory, cache) {
            Some(read_ne) => x_ne + pass.observe(|| format!("layers.{n}.cross"), read_ne),
            None => x_ne,
        };
        let fed_ne = feed.forward(x_ne.clone(), config);
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}

impl SelfPart {
    fn build(config: &Config, n: usize, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        Ok(Self {
            SelfAttention: Attention::build(config, n == 0, &mut builder.at("SelfAttention"))?,
            layer_norm: builder.rms_norm("layer_norm", config.d_model, config.layer_norm_epsilon)?,
        })
    }

    fn forward(
        &self,
        x_ne: Tensor<2>,
        (config, rows, how): (&Config, &Rows, &How),
        cache: Option<&mut LayerCache>,
    ) -> Tensor<2> {
        let (x_ne, h, Attention { q, k, v, o, .. }) =
            (self.layer_norm.forward(x_ne), config.num_heads, &self.SelfAttention);
        let heads = |part: &Projection| heads_of(part.forward(x_ne.clone()), rows, h);
        o.forward(attend(heads(q), (heads(k), heads(v)), how, cache.map(Keys::Cached)))
    }
}

impl CrossPart {
    /// What the block reads of the source; nothing without one.
    fn forward(
        &self,
        x_ne: Tensor<2>,
        (config, rows): (&Config, &Rows),
        memory: Option<&Memory>,
        cache: Option<&mut LayerCache>,
    ) -> Option<Tensor<2>> {
        let (h, Attention { q, k, v, o, .. }) = (config.num_heads, &self.EncDecAttention);
        let q_bthd = heads_of(q.forward(self.layer_norm.forward(x_ne)), rows, h);
        let keys = |part: &Projection, memory: &Memory| heads_of(part.forward(memory.x_me.clone()), &memory.rows, h);
        let source = memory.map(|memory| (keys(k, memory), keys(v, memory), memory));
        Some(o.forward(attend_source(q_bthd, source, 1.0, cache)?))
    }
}

impl Attention {
    fn build(config: &Config, has_bias: bool, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, d, h, factor) = (config.d_model, config.d_kv, config.num_heads, config.initializer_factor);
        let (wide, inner) = (factor / (e as f64).sqrt(), h * d);
        let shape = |inputs, outputs, std| Shape { inputs, outputs, bias: false, std };
        let kinds = [config.relative_attention_num_buckets, h];
        Ok(Self {
            q: builder.dense("q", shape(e, inner, wide / (d as f64).sqrt()))?,
            k: builder.dense("k", shape(e, inner, wide))?,
            v: builder.dense("v", shape(e, inner, wide))?,
            o: builder.dense("o", shape(inner, e, factor / (inner as f64).sqrt()))?,
            relative_attention_bias: has_bias
                .then(|| builder.embedding("relative_attention_bias", kinds, wide))
                .transpose()?,
        })
    }
}

impl FeedForwardPart {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, factor, (gated, _)) = (config.d_model, config.d_ff, config.initializer_factor, config.gated());
        let (inwards, outwards) = (factor / (e as f64).sqrt(), factor / (f as f64).sqrt());
        let mut at = builder.at("DenseReluDense");
        let mut into = |name: &str| at.dense(name, Shape { inputs: e, outputs: f, bias: false, std: inwards });
        let inner = if gated { (into("wi_0")?, Some(into("wi_1")?)) } else { (into("wi")?, None) };
        let wo = at.dense("wo", Shape { inputs: f, outputs: e, bias: false, std: outwards })?;
        let feed = match inner {
            (wi_0, Some(wi_1)) => FeedForward::Gated(Gated { wi_0, wi_1, wo }),
            (wi, None) => FeedForward::Plain(Plain { wi, wo }),
        };
        let layer_norm = builder.rms_norm("layer_norm", e, config.layer_norm_epsilon)?;
        Ok(Self { DenseReluDense: feed, layer_norm })
    }

    fn forward(&self, x_ne: Tensor<2>, config: &Config) -> Tensor<2> {
        let (x_ne, f) = (self.layer_norm.forward(x_ne), config.activation());
        match &self.DenseReluDense {
            FeedForward::Plain(Plain { wi, wo }) => wo.forward(f.forward(wi.forward(x_ne))),
            FeedForward::Gated(Gated { wi_0, wi_1, wo }) => {
                wo.forward_gated(f, wi_0.forward(x_ne.clone()), wi_1.forward(x_ne))
            }
        }
    }
}
