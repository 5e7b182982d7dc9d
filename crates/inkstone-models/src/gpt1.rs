//! GPT (the first): a decoder with layer normalisation after each part, learned positions and a tied head.
//!
//! Paper: Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training", section 3.1. Weights and config
//! as in Hugging Face's `OpenAIGPTLMHeadModel`; the projections store their weights inputs first ("`Conv1D`").
//!
//! Departures: no dropout. The position of a token counts from where its document starts, so that documents in one row
//! are as if alone.
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h heads, d head width, f = 4e feed-forward width,
//! v vocabulary.

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::{Activation, Embedding, Gelu, LayerNorm, Precision, Projection};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes, expect_word};
use crate::pass::Pass;
use crate::rows::{Rows, attend_packed};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Token ids (v).
    vocab_size: usize,
    /// Longest sequence.
    #[serde(alias = "n_ctx", alias = "max_position_embeddings")]
    n_positions: usize,
    /// Width of the residual stream (e).
    #[serde(alias = "hidden_size")]
    n_embd: usize,
    /// Blocks.
    #[serde(alias = "num_hidden_layers")]
    n_layer: usize,
    /// Heads (h).
    #[serde(alias = "num_attention_heads")]
    n_head: usize,
    /// The function of the feed-forward layer; GPT's `gelu` is the one by the hyperbolic tangent.
    #[serde(default = "gelu")]
    afn: String,
    /// Added to the variance in layer normalisation.
    #[serde(default = "default_eps")]
    layer_norm_epsilon: f64,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// Whether the head is the embedding.
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    /// Dropout of the residual stream, of the embeddings and of the attention: none here, so other programs are told so.
    #[serde(default)]
    resid_pdrop: f64,
    #[serde(default)]
    embd_pdrop: f64,
    #[serde(default)]
    attn_pdrop: f64,
}

fn gelu() -> String {
    "gelu".into()
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
    const POSITIONS: &'static str = "n_positions";

    fn validate(&self) -> Result<(), ModelError> {
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("n_positions", self.n_positions),
            ("n_embd", self.n_embd),
            ("n_layer", self.n_layer),
            ("n_head", self.n_head),
        ])?;
        let heads = self.n_head;
        expect(self.n_embd.is_multiple_of(heads), "n_embd", self.n_embd, || format!("a multiple of n_head = {heads}"))?;
        expect_word("afn", &self.afn, &["gelu", "relu", "silu", "swish"])
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.n_positions,
            width: self.n_embd,
            layers: self.n_layer,
            heads: self.n_head,
            key_heads: self.n_head,
            head_width: self.n_embd / self.n_head,
            feed_forward: 4 * self.n_embd,
        }
    }

    fn complete(recipe: &mut Map<String, Value>) {
        for field in ["resid_pdrop", "embd_pdrop", "attn_pdrop"] {
            recipe.entry(field).or_insert(json!(0.0));
        }
    }
}

impl Config {
    fn activation(&self) -> Activation {
        match self.afn.as_str() {
            "gelu" => Activation::Gelu(Gelu::Tanh),
            name => Activation::named(name).unwrap_or(Activation::Relu),
        }
    }
}

/// Attention; one projection makes queries, keys and values.
#[derive(Module, Debug)]
struct Attention {
    c_attn: Projection,
    c_proj: Projection,
}

/// The feed-forward layer, `c_proj(gelu(c_fc(x)))`.
#[derive(Module, Debug)]
struct Mlp {
    c_fc: Projection,
    c_proj: Projection,
}

/// A block: `norm(x + attention(x))`, then `norm(x + mlp(x))`.
#[derive(Module, Debug)]
struct Block {
    attn: Attention,
    ln_1: LayerNorm,
    mlp: Mlp,
    ln_2: LayerNorm,
}

/// Embeddings of tokens and positions, blocks.
#[derive(Module, Debug)]
struct Decoder {
    tokens_embed: Embedding,
    positions_embed: Embedding,
    h: Vec<Block>,
}

/// `OpenAIGPTLMHeadModel`.
#[derive(Module, Debug)]
pub(crate) struct Gpt1 {
    transformer: Decoder,
    lm_head: Option<Projection>,
    #[module(skip)]
    config: Config,
}

impl Architecture for Gpt1 {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("openai-gpt", "OpenAIGPTLMHeadModel")];

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std) = (config.n_embd, config.vocab_size, config.initializer_range);
        builder.optional_prefix("transformer.");
        // Old files hold the causal masks and the list of positions.
        builder.ignore(&["attn.bias", "position_ids"]);
        let mut at = builder.at("transformer");
        let transformer = Decoder {
            tokens_embed: at.embedding("tokens_embed", [v, e], std)?,
            positions_embed: at.embedding("positions_embed", [config.n_positions, e], std)?,
            h: at.list("h", config.n_layer, |_, builder| Block::build(&config, builder))?,
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
        let decoder = &self.transformer;
        let x_ne = decoder.tokens_embed.forward(ids.into()) + decoder.positions_embed.forward(rows.positions());
        let mut x_ne = pass.observe(|| "embeddings".into(), x_ne);
        for (n, block) in decoder.h.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (&self.config, &rows), pass);
        }
        x_ne
    }

    fn plain_head(&self) -> Option<(Tensor<2>, Precision)> {
        self.lm_head.as_ref().map_or_else(|| self.transformer.tokens_embed.plain(), Projection::plain)
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let logits_nv = match &self.lm_head {
            Some(head) => head.forward(x_ne),
            None => self.transformer.tokens_embed.project(x_ne),
        };
        pass.observe(|| "logits".into(), logits_nv)
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, eps) = (config.n_embd, config.layer_norm_epsilon);
        let shape = |inputs, outputs| Shape { inputs, outputs, bias: true, std: config.initializer_range };
        let attn = Attention {
            c_attn: builder.conv1d("attn.c_attn", shape(e, 3 * e))?,
            c_proj: builder.conv1d("attn.c_proj", shape(e, e))?,
        };
        let ln_1 = builder.layer_norm("ln_1", e, eps)?;
        let mlp = Mlp {
            c_fc: builder.conv1d("mlp.c_fc", shape(e, 4 * e))?,
            c_proj: builder.conv1d("mlp.c_proj", shape(4 * e, e))?,
        };
        let ln_2 = builder.layer_norm("ln_2", e, eps)?;
        Ok(Self { attn, ln_1, mlp, ln_2 })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, (config, rows): (&Config, &Rows), pass: &mut Pass<'_>) -> Tensor<2> {
        let cache = pass.keys(n);
        let mut how = rows.causal(config.n_embd / config.n_head);
        how.precision = self.attn.c_attn.precision();
        let qkv = self.attn.c_attn.forward_narrow(x_ne.clone());
        let out_ne = attend_packed(qkv, (rows, [config.n_head; 2]), (&how, None), cache);
        let attended_ne = self.attn.c_proj.forward(out_ne);
        let x_ne = self.ln_1.forward(x_ne + pass.observe(|| format!("layers.{n}.attention"), attended_ne));
        let inner_nf = config.activation().forward(self.mlp.c_fc.forward(x_ne.clone()));
        let fed_ne = pass.observe(|| format!("layers.{n}.mlp"), self.mlp.c_proj.forward(inner_nf));
        pass.observe(|| format!("layers.{n}"), self.ln_2.forward(x_ne + fed_ne))
    }
}
