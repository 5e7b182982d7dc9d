//! GLM as it was first: a transformer with layer normalisation before each part that fills blanks. A text whose spans were taken
//! out sees all of itself; behind it each span is said token by token, from its own position on.
//!
//! Paper: GLM (arXiv:2103.10360, sections 2.1 to 2.3). Weights and config as in the published `GLMForConditionalGeneration`, whose
//! `model_type` is `glm` as well (GLM-4 has taken that since); its folders are told by `block_position_encoding`.
//!
//! Departures: no dropout.
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h heads, d head width, f = 4·e feed-forward width,
//! v vocabulary.

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::{Activation, Embedding, LayerNorm, Projection, ops};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes};
use crate::pass::Pass;
use crate::rows::{Rows, attend_packed};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    hidden_size: usize,
    /// Blocks.
    num_layers: usize,
    /// Heads (h).
    num_attention_heads: usize,
    /// Longest sequence.
    max_sequence_length: usize,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// Added to the variance in layer normalisation.
    #[serde(default = "default_eps")]
    layernorm_epsilon: f64,
    /// Whether positions within a span have a table of their own: always.
    #[serde(default = "yes")]
    block_position_encoding: bool,
    /// What scores are divided by besides the root of the head's width; only 1 is read.
    #[serde(default = "one")]
    attention_scale: f64,
}

fn default_range() -> f64 {
    0.02
}

fn default_eps() -> f64 {
    1e-5
}

fn yes() -> bool {
    true
}

fn one() -> f64 {
    1.0
}

impl crate::architecture::Config for Config {
    const LAYERS: &'static [&'static str] = &["num_layers"];
    const POSITIONS: &'static str = "max_sequence_length";

    fn validate(&self) -> Result<(), ModelError> {
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("num_layers", self.num_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("max_sequence_length", self.max_sequence_length),
        ])?;
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        let right = width.is_multiple_of(heads);
        expect(right, "hidden_size", width, || format!("a multiple of num_attention_heads = {heads}"))?;
        expect(self.block_position_encoding, "block_position_encoding", false, || "true".into())?;
        expect((self.attention_scale - 1.0).abs() < 1e-9, "attention_scale", self.attention_scale, || "1".into())
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.max_sequence_length,
            width: self.hidden_size,
            layers: self.num_layers,
            heads: self.num_attention_heads,
            key_heads: self.num_attention_heads,
            head_width: self.hidden_size / self.num_attention_heads,
            feed_forward: 4 * self.hidden_size,
        }
    }
}

/// Attention; one projection makes queries, keys and values.
#[derive(Module, Debug)]
struct Attention {
    query_key_value: Projection,
    dense: Projection,
}

/// The feed-forward layer.
#[derive(Module, Debug)]
struct Mlp {
    dense_h_to_4h: Projection,
    dense_4h_to_h: Projection,
}

/// A block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
struct Block {
    input_layernorm: LayerNorm,
    attention: Attention,
    post_attention_layernorm: LayerNorm,
    mlp: Mlp,
}

/// Both tables of positions, blocks, final norm.
#[derive(Module, Debug)]
struct Transformer {
    position_embeddings: Embedding,
    block_position_embeddings: Embedding,
    layers: Vec<Block>,
    final_layernorm: LayerNorm,
}

/// Embedding of tokens, and what follows.
#[derive(Module, Debug)]
struct Decoder {
    word_embeddings: Embedding,
    transformer: Transformer,
}

/// `GLMForConditionalGeneration`.
#[derive(Module, Debug)]
pub(crate) struct Glm2021 {
    glm: Decoder,
    #[module(skip)]
    config: Config,
}

impl Architecture for Glm2021 {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("glm_2021", "GLMForConditionalGeneration")];

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std) = (config.hidden_size, config.vocab_size, config.initializer_range);
        builder.optional_prefix("glm.");
        builder.tied_head("lm_head.weight", [v, e]);
        // A row more than positions, as the published tables have.
        let positions = [config.max_sequence_length + 1, e];
        let mut at = builder.at("glm");
        let word_embeddings = at.embedding("word_embeddings", [v, e], std)?;
        let mut at = at.at("transformer");
        let transformer = Transformer {
            position_embeddings: at.embedding("position_embeddings", positions, std)?,
            block_position_embeddings: at.embedding("block_position_embeddings", positions, std)?,
            layers: at.list("layers", config.num_layers, |_, builder| Block::build(&config, builder))?,
            final_layernorm: at.layer_norm("final_layernorm", e, config.layernorm_epsilon)?,
        };
        Ok(Self { glm: Decoder { word_embeddings, transformer }, config })
    }

    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = Rows::new(ids.len(), batch, pass);
        let (text, within) = match pass.places {
            Some(places) => places.iter().map(|place| (place[0], place[1])).unzip(),
            None => (rows.positions().to_vec(), vec![0; ids.len()]),
        };
        let part = &self.glm.transformer;
        let x_ne = self.glm.word_embeddings.forward(ids.into());
        let x_ne = x_ne + part.position_embeddings.forward(text.into());
        let x_ne = x_ne + part.block_position_embeddings.forward(within.into());
        let mut x_ne = pass.observe(|| "embeddings".into(), x_ne);
        for (n, block) in part.layers.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (&self.config, &rows), pass);
        }
        pass.observe(|| "norm".into(), part.final_layernorm.forward(x_ne))
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        pass.observe(|| "logits".into(), self.glm.word_embeddings.project(x_ne))
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, std, eps) = (config.hidden_size, config.initializer_range, config.layernorm_epsilon);
        let into_residual = std / (2.0 * config.num_layers as f64).sqrt();
        let shape = |inputs, outputs, std| Shape { inputs, outputs, bias: true, std };
        Ok(Self {
            input_layernorm: builder.layer_norm("input_layernorm", e, eps)?,
            attention: Attention {
                query_key_value: builder.dense("attention.query_key_value", shape(e, 3 * e, std))?,
                dense: builder.dense("attention.dense", shape(e, e, into_residual))?,
            },
            post_attention_layernorm: builder.layer_norm("post_attention_layernorm", e, eps)?,
            mlp: Mlp {
                dense_h_to_4h: builder.dense("mlp.dense_h_to_4h", shape(e, 4 * e, std))?,
                dense_4h_to_h: builder.dense("mlp.dense_4h_to_h", shape(4 * e, e, into_residual))?,
            },
        })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, (config, rows): (&Config, &Rows), pass: &mut Pass<'_>) -> Tensor<2> {
        let (heads, cache) = (config.num_attention_heads, pass.keys(n));
        let qkv = self.attention.query_key_value.forward(self.input_layernorm.forward(x_ne.clone()));
        let how = rows.causal(config.hidden_size / heads);
        let out_ne = attend_packed(qkv, (rows, [heads; 2]), (&how, None), cache);
        let attended_ne = self.attention.dense.forward(out_ne);
        let x_ne = ops::add(x_ne, pass.observe(|| format!("layers.{n}.attention"), attended_ne));
        let gelu = Activation::named("gelu_new").unwrap_or(Activation::Relu);
        let inner_nf =
            gelu.forward(self.mlp.dense_h_to_4h.forward(self.post_attention_layernorm.forward(x_ne.clone())));
        let fed_ne = pass.observe(|| format!("layers.{n}.mlp"), self.mlp.dense_4h_to_h.forward(inner_nf));
        pass.observe(|| format!("layers.{n}"), ops::add(x_ne, fed_ne))
    }
}
