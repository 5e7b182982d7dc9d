//! Baichuan and Baichuan 2: LLaMA with queries, keys and values from one projection (`W_pack`). The 7B form has rotary
//! positions, the 13B form biases on the scores (`ALiBi`); the second version normalises the rows of its head.
//!
//! Papers: Baichuan 2 (arXiv:2309.10305, section 2), `ALiBi` (2108.12409), `NormHead` (section 2.6.1 of the first). Weights and
//! config as in the published `BaichuanForCausalLM`. Which form a config means is told as that code tells it: only the
//! 7B form has `max_position_embeddings`, only version 2 has `z_loss_weight`.
//!
//! Departures: the auxiliary loss on the size of the logits is not computed.
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h heads, d head width, f feed-forward width,
//! v vocabulary.

#![allow(non_snake_case, reason = "Baichuan's names")]

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::ops::{Attention as How, Bias, RopeAngles};
use inkstone_nn::{Activation, Embedding, Projection, RmsNorm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes, expect_word};
use crate::pass::{Keys, Pass};
use crate::rows::{Rows, alibi_slopes, attend_packed};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    hidden_size: usize,
    /// Width of the feed-forward layer (f).
    intermediate_size: usize,
    /// Blocks.
    num_hidden_layers: usize,
    /// Heads (h).
    num_attention_heads: usize,
    /// Activation; only `silu` is Baichuan.
    #[serde(default = "silu")]
    hidden_act: String,
    /// Longest sequence.
    #[serde(default)]
    model_max_length: Option<usize>,
    /// Longest sequence of the form with rotary positions; left out: the form with `ALiBi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_position_embeddings: Option<usize>,
    /// Weight of the auxiliary loss of version 2; left out: version 1, whose head is not normalised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    z_loss_weight: Option<f64>,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// Added to the mean square in RMSNorm.
    #[serde(default = "default_eps")]
    rms_norm_eps: f64,
    /// Whether the head is the embedding; Baichuan's never is.
    #[serde(default)]
    tie_word_embeddings: bool,
}

fn silu() -> String {
    "silu".into()
}

fn default_range() -> f64 {
    0.02
}

fn default_eps() -> f64 {
    1e-6
}

impl crate::architecture::Config for Config {
    const POSITIONS: &'static str = "model_max_length";

    fn validate(&self) -> Result<(), ModelError> {
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", width),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", heads),
            ("model_max_length", self.positions()),
        ])?;
        let right = width % heads == 0 && (self.is_alibi() || (width / heads) % 2 == 0);
        expect(right, "hidden_size", width, || format!("an even multiple of num_attention_heads = {heads}"))?;
        expect(!self.tie_word_embeddings, "tie_word_embeddings", true, || "false".into())?;
        expect_word("hidden_act", &self.hidden_act, &["silu"])
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.positions(),
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_heads: self.num_attention_heads,
            head_width: self.head_width(),
            feed_forward: self.intermediate_size,
        }
    }

    /// A feed-forward layer of 8/3 of the width, rounded up to 32.
    fn complete(recipe: &mut Map<String, Value>) {
        let width = recipe.get("hidden_size").and_then(Value::as_u64).unwrap_or(0);
        let feed_forward = width.saturating_mul(8).div_ceil(3).div_ceil(32).saturating_mul(32);
        recipe.entry("intermediate_size").or_insert(json!(feed_forward));
    }
}

impl Config {
    fn is_alibi(&self) -> bool {
        self.max_position_embeddings.is_none()
    }

    fn positions(&self) -> usize {
        self.model_max_length.or(self.max_position_embeddings).unwrap_or(4096)
    }

    fn head_width(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }
}

/// Attention; one projection makes queries, keys and values.
#[derive(Module, Debug)]
struct Attention {
    W_pack: Projection,
    o_proj: Projection,
}

/// The feed-forward layer, `down(silu(gate(x)) · up(x))`.
#[derive(Module, Debug)]
#[expect(clippy::struct_field_names, reason = "Hugging Face's names")]
struct Mlp {
    gate_proj: Projection,
    up_proj: Projection,
    down_proj: Projection,
}

/// A block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
struct Block {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
}

/// Embedding, blocks, final norm.
#[derive(Module, Debug)]
struct Decoder {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
}

/// `BaichuanForCausalLM`.
#[derive(Module, Debug)]
pub(crate) struct Baichuan {
    model: Decoder,
    lm_head: Projection,
    #[module(skip)]
    config: Config,
}

/// What all blocks of one pass share.
struct Geometry {
    rows: Rows,
    heads: usize,
    /// None in the form with `ALiBi`.
    angles: Option<RopeAngles>,
    how: How,
}

impl Architecture for Baichuan {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("baichuan", "BaichuanForCausalLM")];

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std) = (config.hidden_size, config.vocab_size, config.initializer_range);
        builder.ignore(&["rotary_emb.inv_freq", "model.future_mask"]);
        let mut at = builder.at("model");
        let model = Decoder {
            embed_tokens: at.embedding("embed_tokens", [v, e], std)?,
            layers: at.list("layers", config.num_hidden_layers, |_, builder| Block::build(&config, builder))?,
            norm: at.rms_norm("norm", e, config.rms_norm_eps)?,
        };
        let lm_head = builder.dense("lm_head", Shape { inputs: e, outputs: v, bias: false, std })?;
        Ok(Self { model, lm_head, config })
    }

    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let geometry = self.geometry(Rows::new(ids.len(), batch, pass));
        let mut x_ne = pass.observe(|| "embeddings".into(), self.model.embed_tokens.forward(ids.into()));
        for (n, block) in self.model.layers.iter().enumerate() {
            x_ne = block.forward(x_ne, n, &geometry, pass);
        }
        pass.observe(|| "norm".into(), self.model.norm.forward(x_ne))
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let mut logits_nv = self.lm_head.forward(x_ne);
        if self.config.z_loss_weight.is_some() {
            logits_nv = logits_nv / self.lm_head.row_norms().clamp_min(1e-12).unsqueeze();
        }
        pass.observe(|| "logits".into(), logits_nv)
    }
}

impl Baichuan {
    fn geometry(&self, rows: Rows) -> Geometry {
        let (heads, head_width) = (self.config.num_attention_heads, self.config.head_width());
        let mut how = rows.causal(head_width);
        if self.config.is_alibi() {
            how.bias = Bias::Alibi(alibi_slopes(heads));
            return Geometry { rows, heads, angles: None, how };
        }
        let angles = rows.angles(&RopeAngles::frequencies(head_width, 10_000.0));
        Geometry { rows, heads, angles: Some(angles), how }
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, std) = (config.hidden_size, config.intermediate_size, config.initializer_range);
        let into_residual = std / (2.0 * config.num_hidden_layers as f64).sqrt();
        let shape = |inputs, outputs, std| Shape { inputs, outputs, bias: false, std };
        let self_attn = Attention {
            W_pack: builder.dense("self_attn.W_pack", shape(e, 3 * e, std))?,
            o_proj: builder.dense("self_attn.o_proj", shape(e, e, into_residual))?,
        };
        let mlp = Mlp {
            gate_proj: builder.dense("mlp.gate_proj", shape(e, f, std))?,
            up_proj: builder.dense("mlp.up_proj", shape(e, f, std))?,
            down_proj: builder.dense("mlp.down_proj", shape(f, e, into_residual))?,
        };
        let input_layernorm = builder.rms_norm("input_layernorm", e, config.rms_norm_eps)?;
        let post_attention_layernorm = builder.rms_norm("post_attention_layernorm", e, config.rms_norm_eps)?;
        Ok(Self { self_attn, mlp, input_layernorm, post_attention_layernorm })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, geometry: &Geometry, pass: &mut Pass<'_>) -> Tensor<2> {
        let cache = pass.keys(n);
        let attended_ne = self.self_attn.forward(self.input_layernorm.forward(x_ne.clone()), geometry, cache);
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let fed_ne = self.mlp.forward(self.post_attention_layernorm.forward(x_ne.clone()));
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}

impl Attention {
    fn forward(&self, x_ne: Tensor<2>, geometry: &Geometry, cache: Option<Keys<'_>>) -> Tensor<2> {
        let (heads, how) = ((&geometry.rows, [geometry.heads; 2]), (&geometry.how, geometry.angles.as_ref()));
        self.o_proj.forward(attend_packed(self.W_pack.forward(x_ne), heads, how, cache))
    }
}

impl Mlp {
    fn forward(&self, x_ne: Tensor<2>) -> Tensor<2> {
        let (gate_nf, up_nf) = (self.gate_proj.forward(x_ne.clone()), self.up_proj.forward(x_ne));
        self.down_proj.forward_gated(Activation::Silu, gate_nf, up_nf)
    }
}
