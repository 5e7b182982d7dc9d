//! CPM-Bee: a decoder that reads a dictionary. Its keys and values are segments of a tree; scores get a bias for the distance within
//! a segment, and for how two segments are related. What is given sees all of itself, answers are said behind it.
//!
//! Source: the description and formulas of the published code (github.com/OpenBMB/CPM-Bee). Weights and config as in the published
//! `CpmBeeForCausalLM`; the names of CPM-Live (no `cpmbee.`; `dim_model`, `num_layers`, `num_heads`) are read as well.
//!
//! Departures: numbered tokens (`<unk_3>`) are read but not said, for no tokenizer here has unknown words; one example a row, none
//! beside it in the context; no dropout.
//!
//! Shapes: b batch, t position, s key, n = b·t, e width of the residual stream, h heads, d head width, f feed-forward width,
//! v vocabulary, m segments.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use inkstone_nn::ops::{self, Attention as How, RopeAngles};
use inkstone_nn::{Activation, Embedding, Projection, RmsNorm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes};
use crate::pass::{Keys, Pass, Tree};
use crate::relative::{Distances, biases};
use crate::rows::{Rows, attend, heads_of};

/// What a sum with the residual stream is divided by.
const DAMPING: f32 = 1.05;

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    #[serde(alias = "dim_model")]
    hidden_size: usize,
    /// Blocks.
    #[serde(alias = "num_layers")]
    num_hidden_layers: usize,
    /// Heads (h).
    #[serde(alias = "num_heads")]
    num_attention_heads: usize,
    /// Width of a head (d).
    dim_head: usize,
    /// Width of the feed-forward layer (f).
    dim_ff: usize,
    /// Kinds of distances within a segment.
    #[serde(default = "buckets")]
    position_bias_num_buckets: usize,
    /// Kinds of relations between segments.
    #[serde(default = "buckets")]
    position_bias_num_segment_buckets: usize,
    /// From this distance on all are of one kind.
    #[serde(default = "max_distance")]
    position_bias_max_distance: usize,
    /// Positions between two numbers of a numbered token.
    #[serde(default = "distance_scale")]
    distance_scale: u32,
    /// For each block whether its attention and its feed-forward layer were cut out; left out: none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mask_modules: Option<Vec<[bool; 2]>>,
    /// Standard deviation of the initial weights, whose products are divided by the root of their width.
    #[serde(default = "one")]
    init_std: f64,
    /// Added to the mean square in RMSNorm.
    #[serde(default = "default_eps")]
    eps: f64,
}

fn buckets() -> usize {
    256
}

fn max_distance() -> usize {
    2048
}

fn distance_scale() -> u32 {
    16
}

fn one() -> f64 {
    1.0
}

fn default_eps() -> f64 {
    1e-6
}

impl crate::architecture::Config for Config {
    const POSITIONS: &'static str = "position_bias_max_distance";

    fn validate(&self) -> Result<(), ModelError> {
        let (width, kinds) = (self.hidden_size, self.position_bias_num_buckets);
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", width),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("dim_head", self.dim_head),
            ("dim_ff", self.dim_ff),
            ("position_bias_num_buckets", kinds / 4),
            ("position_bias_num_segment_buckets", self.position_bias_num_segment_buckets),
            ("position_bias_max_distance", self.position_bias_max_distance),
        ])?;
        expect(width % 2 == 0, "hidden_size", width, || "an even number".into())?;
        let masks = self.mask_modules.as_ref().map_or(self.num_hidden_layers, Vec::len);
        expect(masks == self.num_hidden_layers, "mask_modules", masks, || format!("{} pairs", self.num_hidden_layers))
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.position_bias_max_distance,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_heads: self.num_attention_heads,
            head_width: self.dim_head,
            feed_forward: self.dim_ff,
        }
    }

    /// Heads that share the width; a feed-forward layer of 5/2 of it; 256 kinds of distances.
    fn complete(recipe: &mut Map<String, Value>) {
        let number = |name: &str, default: u64| recipe.get(name).and_then(Value::as_u64).unwrap_or(default);
        let (width, heads) = (number("hidden_size", 0), number("num_attention_heads", 1).max(1));
        let defaults =
            [("dim_head", width / heads), ("dim_ff", width.saturating_mul(5) / 2), ("position_bias_num_buckets", 256)];
        for (field, value) in defaults {
            recipe.entry(field).or_insert(json!(value));
        }
    }
}

impl Config {
    fn distances(&self) -> Distances {
        Distances { kinds: self.position_bias_num_buckets, longest: self.position_bias_max_distance, both_ways: true }
    }

    /// The rows of the table of biases for each query and key, `[b, t, s]` or, of one segment alone, `[1, t, s]`.
    fn kinds(&self, rows: &Rows, tree: Option<Tree<'_>>) -> Vec<u32> {
        let (first, t, s) = (rows.first, rows.length, rows.first + rows.length);
        let distances = self.distances();
        let Some(Tree { segments, relations, .. }) = tree else { return distances.kinds([first, t, s]) };
        let m = (relations.len() / rows.batch.max(1)).isqrt();
        let last = (self.position_bias_num_segment_buckets - 1) as u32;
        let kind = |n: usize| {
            let (row, query, key) = (n / (t * s), first + n / s % t, n % s);
            let segment = |position: usize| segments[row * s + position] as usize;
            match relations[(row * m + segment(query)) * m + segment(key)] {
                0 => distances.kind(query, key),
                related => distances.kinds as u32 + (related - 1).min(last),
            }
        };
        (0..rows.batch * t * s).map(kind).collect()
    }
}

/// Attention.
#[derive(Module, Debug)]
struct Attention {
    project_q: Projection,
    project_k: Projection,
    project_v: Projection,
    attention_out: Projection,
}

/// Attention behind its norm.
#[derive(Module, Debug)]
struct AttentionPart {
    layernorm_before_attention: RmsNorm,
    self_attention: Attention,
}

/// Both sides of a gate.
#[derive(Module, Debug)]
struct Gate {
    w_0: Projection,
    w_1: Projection,
}

/// The feed-forward layer, `w_out(gelu(w_0(x)) · w_1(x))`.
#[derive(Module, Debug)]
struct FeedForward {
    w_in: Gate,
    w_out: Projection,
}

/// The feed-forward layer behind its norm.
#[derive(Module, Debug)]
struct FeedForwardPart {
    layernorm_before_ffn: RmsNorm,
    ffn: FeedForward,
}

/// A block: `(x + attention(norm(x))) / 1.05`, then `(x + ffn(norm(x))) / 1.05`; either may be cut out.
#[derive(Module, Debug)]
struct Block {
    self_att: Option<AttentionPart>,
    ffn: Option<FeedForwardPart>,
}

/// The blocks.
#[derive(Module, Debug)]
struct Encoder {
    layers: Vec<Block>,
    output_layernorm: RmsNorm,
}

/// The table of biases, `[kinds of distances + kinds of relations, h]`.
#[derive(Module, Debug)]
struct PositionBias {
    relative_attention_bias: Param<Tensor<2>>,
}

/// Embedding, biases, blocks.
#[derive(Module, Debug)]
struct Body {
    encoder: Encoder,
    input_embedding: Embedding,
    position_bias: PositionBias,
}

/// `CpmBeeForCausalLM`.
#[derive(Module, Debug)]
pub(crate) struct CpmBee {
    cpmbee: Body,
    #[module(skip)]
    config: Config,
}

impl Architecture for CpmBee {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("cpmbee", "CpmBeeForCausalLM")];
    const SIDE_BY_SIDE: bool = false;

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, h, std) = (config.hidden_size, config.vocab_size, config.num_attention_heads, config.init_std);
        builder.optional_prefix("cpmbee.");
        builder.tied_head("lm_head.weight", [v, e]);
        let kinds = config.position_bias_num_buckets + config.position_bias_num_segment_buckets;
        let mut at = builder.at("cpmbee");
        let input_embedding = at.embedding("input_embedding", [v, e], std)?;
        let relative_attention_bias = at.table("position_bias.relative_attention_bias", [kinds, h], std)?;
        let mut at = at.at("encoder");
        let encoder = Encoder {
            layers: at.list("layers", config.num_hidden_layers, |n, builder| Block::build(&config, n, builder))?,
            output_layernorm: at.rms_norm("output_layernorm", e, config.eps)?,
        };
        let cpmbee = Body { encoder, input_embedding, position_bias: PositionBias { relative_attention_bias } };
        Ok(Self { cpmbee, config })
    }

    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = Rows::new(ids.len(), batch, pass);
        let mut x_ne = pass.observe(|| "embeddings".into(), self.embedded(ids, pass.tree));
        let how = self.attention(&rows, pass.tree);
        for (n, block) in self.cpmbee.encoder.layers.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (&self.config, &rows, &how), pass);
        }
        pass.observe(|| "norm".into(), self.cpmbee.encoder.output_layernorm.forward(x_ne))
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let logits_nv = self.cpmbee.input_embedding.project(scaled(x_ne, self.config.hidden_size));
        pass.observe(|| "logits".into(), logits_nv)
    }
}

/// What a product with a weight of so many inputs is divided by.
fn scaled(x: Tensor<2>, inputs: usize) -> Tensor<2> {
    x * (inputs as f32).sqrt().recip()
}

impl CpmBee {
    /// The embeddings of tokens, those of numbered ones turned by their numbers (arXiv:2104.09864, over the whole width).
    fn embedded(&self, ids: &[u32], tree: Option<Tree<'_>>) -> Tensor<2> {
        let (n, e) = (ids.len(), self.config.hidden_size);
        let x_ne = scaled(self.cpmbee.input_embedding.forward(ids.into()), e);
        let Some(numbers) = tree.map(|tree| tree.numbers).filter(|numbers| numbers.iter().any(|&n| n > 0)) else {
            return x_ne;
        };
        let places: Vec<u32> = numbers.iter().map(|n| n.saturating_mul(self.config.distance_scale)).collect();
        let angles = RopeAngles::at(&places, &RopeAngles::frequencies(e, 10_000.0));
        ops::rope(x_ne.reshape([1, n, 1, e]), &angles).reshape([n, e])
    }

    fn attention(&self, rows: &Rows, tree: Option<Tree<'_>>) -> How {
        let kinds = self.config.kinds(rows, tree);
        let values = ops::embedding(self.cpmbee.position_bias.relative_attention_bias.val(), kinds.into());
        let (b, t, s) = (if tree.is_some() { rows.batch } else { 1 }, rows.length, rows.first + rows.length);
        How { bias: biases(values, [b, t, s]), ..rows.causal(self.config.dim_head) }
    }
}

impl Block {
    fn build(config: &Config, n: usize, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, inner) = (config.hidden_size, config.dim_ff, config.num_attention_heads * config.dim_head);
        let [no_attention, no_ffn] = config.mask_modules.as_ref().map_or([false; 2], |masks| masks[n]);
        let shape = |inputs, outputs| Shape { inputs, outputs, bias: false, std: config.init_std };
        let attention = |at: &mut Builder<'_>| -> Result<_, ModelError> {
            let self_attention = Attention {
                project_q: at.dense("self_attention.project_q", shape(e, inner))?,
                project_k: at.dense("self_attention.project_k", shape(e, inner))?,
                project_v: at.dense("self_attention.project_v", shape(e, inner))?,
                attention_out: at.dense("self_attention.attention_out", shape(inner, e))?,
            };
            let layernorm_before_attention = at.rms_norm("layernorm_before_attention", e, config.eps)?;
            Ok(AttentionPart { layernorm_before_attention, self_attention })
        };
        let self_att = (!no_attention).then(|| attention(&mut builder.at("self_att"))).transpose()?;
        let feed = |at: &mut Builder<'_>| -> Result<_, ModelError> {
            let w_in =
                Gate { w_0: at.dense("ffn.w_in.w_0", shape(e, f))?, w_1: at.dense("ffn.w_in.w_1", shape(e, f))? };
            let ffn = FeedForward { w_in, w_out: at.dense("ffn.w_out", shape(f, e))? };
            Ok(FeedForwardPart { layernorm_before_ffn: at.rms_norm("layernorm_before_ffn", e, config.eps)?, ffn })
        };
        let ffn = (!no_ffn).then(|| feed(&mut builder.at("ffn"))).transpose()?;
        Ok(Self { self_att, ffn })
    }

    fn forward(
        &self,
        mut x_ne: Tensor<2>,
        n: usize,
        (config, rows, how): (&Config, &Rows, &How),
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        if let Some(part) = &self.self_att {
            let attended_ne = part.forward(x_ne.clone(), (config, rows, how), pass.keys(n));
            x_ne = (x_ne + pass.observe(|| format!("layers.{n}.attention"), attended_ne)) / DAMPING;
        }
        if let Some(part) = &self.ffn {
            let fed_ne = part.forward(x_ne.clone(), config);
            x_ne = (x_ne + pass.observe(|| format!("layers.{n}.mlp"), fed_ne)) / DAMPING;
        }
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}

impl AttentionPart {
    fn forward(
        &self,
        x_ne: Tensor<2>,
        (config, rows, how): (&Config, &Rows, &How),
        cache: Option<Keys<'_>>,
    ) -> Tensor<2> {
        let Attention { project_q, project_k, project_v, attention_out } = &self.self_attention;
        let (x_ne, e, h) =
            (self.layernorm_before_attention.forward(x_ne), config.hidden_size, config.num_attention_heads);
        let heads = |part: &Projection| heads_of(scaled(part.forward(x_ne.clone()), e), rows, h);
        let out_ne = attend(heads(project_q), (heads(project_k), heads(project_v)), how, cache);
        scaled(attention_out.forward(out_ne), h * config.dim_head)
    }
}

impl FeedForwardPart {
    fn forward(&self, x_ne: Tensor<2>, config: &Config) -> Tensor<2> {
        let FeedForward { w_in, w_out } = &self.ffn;
        let (x_ne, e) = (self.layernorm_before_ffn.forward(x_ne), config.hidden_size);
        let (gate_nf, up_nf) = (scaled(w_in.w_0.forward(x_ne.clone()), e), scaled(w_in.w_1.forward(x_ne), e));
        let gelu = Activation::named("gelu").unwrap_or(Activation::Relu);
        scaled(w_out.forward_gated(gelu, gate_nf, up_nf), config.dim_ff)
    }
}
