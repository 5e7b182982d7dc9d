//! BLOOM: a decoder whose only notion of position is a bias on the scores (`ALiBi`), with layer normalisation of the
//! embeddings and before each part.
//!
//! Papers: BLOOM (arXiv:2211.05100, section 3.2), `ALiBi` (2108.12409). Weights and config as in Hugging Face's
//! `BloomForCausalLM`; one projection makes query, key and value of a head side by side, head after head.
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h heads, d head width, f = 4e feed-forward width,
//! v vocabulary.

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::ops::{Attention as How, Bias};
use inkstone_nn::{Activation, Embedding, Gelu, LayerNorm, Precision, Projection};
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes};
use crate::pass::{Keys, Pass};
use crate::rows::{Rows, alibi_slopes, attend};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    #[serde(alias = "n_embed")]
    hidden_size: usize,
    /// Blocks.
    #[serde(alias = "num_hidden_layers")]
    n_layer: usize,
    /// Heads (h).
    #[serde(alias = "num_attention_heads")]
    n_head: usize,
    /// Longest sequence of the training; the biases know no limit.
    #[serde(default = "default_length")]
    seq_length: usize,
    /// Added to the variance in layer normalisation.
    #[serde(default = "default_eps")]
    layer_norm_epsilon: f64,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// Whether a part is added to its normalised input instead of to the input.
    #[serde(default)]
    apply_residual_connection_post_layernorm: bool,
    /// Whether the head is the embedding.
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

fn default_length() -> usize {
    2048
}

fn default_eps() -> f64 {
    1e-5
}

fn default_range() -> f64 {
    0.02
}

fn yes() -> bool {
    true
}

impl crate::architecture::Config for Config {
    const LAYERS: &'static [&'static str] = &["n_layer"];
    const POSITIONS: &'static str = "seq_length";

    fn validate(&self) -> Result<(), ModelError> {
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("n_layer", self.n_layer),
            ("n_head", self.n_head),
            ("seq_length", self.seq_length),
        ])?;
        let (width, heads) = (self.hidden_size, self.n_head);
        expect(width % heads == 0, "hidden_size", width, || format!("a multiple of n_head = {heads}"))
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.seq_length,
            width: self.hidden_size,
            layers: self.n_layer,
            heads: self.n_head,
            key_heads: self.n_head,
            head_width: self.hidden_size / self.n_head,
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

/// The feed-forward layer, `dense_4h_to_h(gelu(dense_h_to_4h(x)))`.
#[derive(Module, Debug)]
struct Mlp {
    dense_h_to_4h: Projection,
    dense_4h_to_h: Projection,
}

/// A block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
struct Block {
    input_layernorm: LayerNorm,
    self_attention: Attention,
    post_attention_layernorm: LayerNorm,
    mlp: Mlp,
    #[module(skip)]
    adds_to_norm: bool,
}

/// Embedding with its norm, blocks, final norm.
#[derive(Module, Debug)]
struct Decoder {
    word_embeddings: Embedding,
    word_embeddings_layernorm: LayerNorm,
    h: Vec<Block>,
    ln_f: LayerNorm,
}

/// `BloomForCausalLM`.
#[derive(Module, Debug)]
pub(crate) struct Bloom {
    transformer: Decoder,
    lm_head: Option<Projection>,
    #[module(skip)]
    config: Config,
}

impl Architecture for Bloom {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("bloom", "BloomForCausalLM")];

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std, eps) =
            (config.hidden_size, config.vocab_size, config.initializer_range, config.layer_norm_epsilon);
        builder.optional_prefix("transformer.");
        let mut at = builder.at("transformer");
        let transformer = Decoder {
            word_embeddings: at.embedding("word_embeddings", [v, e], std)?,
            word_embeddings_layernorm: at.layer_norm("word_embeddings_layernorm", e, eps)?,
            h: at.list("h", config.n_layer, |_, builder| Block::build(&config, builder))?,
            ln_f: at.layer_norm("ln_f", e, eps)?,
        };
        let lm_head = if config.tie_word_embeddings {
            builder.tied_head("lm_head.weight", [v, e]);
            None
        } else {
            Some(builder.dense("lm_head", Shape { inputs: e, outputs: v, bias: false, std })?)
        };
        Ok(Self { transformer, lm_head, config })
    }

    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = Rows::new(ids.len(), batch, pass);
        let (decoder, heads) = (&self.transformer, self.config.n_head);
        let bias = Bias::Alibi(alibi_slopes(heads));
        let how = How { bias, ..rows.causal(self.config.hidden_size / heads) };
        let x_ne = decoder.word_embeddings_layernorm.forward(decoder.word_embeddings.forward(ids.into()));
        let mut x_ne = pass.observe(|| "embeddings".into(), x_ne);
        for (n, block) in decoder.h.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (&rows, heads, &how), pass);
        }
        pass.observe(|| "norm".into(), decoder.ln_f.forward(x_ne))
    }

    fn plain_head(&self) -> Option<(Tensor<2>, Precision)> {
        self.lm_head.as_ref().map_or_else(|| self.transformer.word_embeddings.plain(), Projection::plain)
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let logits_nv = match &self.lm_head {
            Some(head) => head.forward(x_ne),
            None => self.transformer.word_embeddings.project(x_ne),
        };
        pass.observe(|| "logits".into(), logits_nv)
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, std, eps) = (config.hidden_size, config.initializer_range, config.layer_norm_epsilon);
        let shape = |inputs, outputs, std| Shape { inputs, outputs, bias: true, std };
        let into_residual = std / (2.0 * config.n_layer as f64).sqrt();
        let self_attention = Attention {
            query_key_value: builder.dense("self_attention.query_key_value", shape(e, 3 * e, std))?,
            dense: builder.dense("self_attention.dense", shape(e, e, into_residual))?,
        };
        let mlp = Mlp {
            dense_h_to_4h: builder.dense("mlp.dense_h_to_4h", shape(e, 4 * e, std))?,
            dense_4h_to_h: builder.dense("mlp.dense_4h_to_h", shape(4 * e, e, into_residual))?,
        };
        Ok(Self {
            input_layernorm: builder.layer_norm("input_layernorm", e, eps)?,
            self_attention,
            post_attention_layernorm: builder.layer_norm("post_attention_layernorm", e, eps)?,
            mlp,
            adds_to_norm: config.apply_residual_connection_post_layernorm,
        })
    }

    fn forward(
        &self,
        x_ne: Tensor<2>,
        n: usize,
        (rows, heads, how): (&Rows, usize, &How),
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let cache = pass.keys(n);
        let norm_ne = self.input_layernorm.forward(x_ne.clone());
        let attended_ne = self.self_attention.forward(norm_ne.clone(), (rows, heads, how), cache);
        let residual_ne = if self.adds_to_norm { norm_ne } else { x_ne };
        let x_ne = residual_ne + pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let norm_ne = self.post_attention_layernorm.forward(x_ne.clone());
        let fed_ne = self.mlp.forward(norm_ne.clone());
        let residual_ne = if self.adds_to_norm { norm_ne } else { x_ne };
        let x_ne = residual_ne + pass.observe(|| format!("layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}

impl Attention {
    fn forward(&self, x_ne: Tensor<2>, (rows, heads, how): (&Rows, usize, &How), cache: Option<Keys<'_>>) -> Tensor<2> {
        let [n, e] = x_ne.dims();
        let d = e / heads;
        // (n, h·3·d) → (n, h, 3, d)
        let qkv: Tensor<4> = self.query_key_value.forward(x_ne).reshape([n, heads, 3, d]);
        let part = |index: usize| {
            let x = qkv.clone().slice([0..n, 0..heads, index..index + 1, 0..d]);
            x.reshape([rows.batch, rows.length, heads, d])
        };
        self.dense.forward(attend(part(0), (part(1), part(2)), how, cache))
    }
}

impl Mlp {
    fn forward(&self, x_ne: Tensor<2>) -> Tensor<2> {
        let inner_nf = Activation::Gelu(Gelu::Tanh).forward(self.dense_h_to_4h.forward(x_ne));
        self.dense_4h_to_h.forward(inner_nf)
    }
}
