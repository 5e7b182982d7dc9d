//! GLM-4: a decoder like LLaMA whose rotary positions turn neighbouring numbers of the first part of a head, and whose
//! feed-forward layer makes gate and input in one product. The later form (`glm4`) also normalises what each part adds.
//!
//! Papers: ChatGLM (arXiv:2406.12793, section 2), `RoPE` (2104.09864), SwiGLU (2002.05202), grouped-query attention
//! (2305.13245). Weights and config as in Hugging Face's `GlmForCausalLM` and `Glm4ForCausalLM`; the layout in which they were published
//! first is read by way of `chatglm.rs`.
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h query heads, g key heads, d head width, r part of
//! it that turns, f feed-forward width, v vocabulary.

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::ops::{self, Attention as How, RopeAngles};
use inkstone_nn::{Activation, Embedding, Precision, Projection, RmsNorm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions};
use crate::builder::{Builder, Shape};
use crate::chatglm;
use crate::fields::{expect, expect_sizes, expect_word};
use crate::pass::{Keys, Pass};
use crate::rope::RopeParameters;
use crate::rows::{Rows, attend};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// `glm` or `glm4`.
    #[serde(default = "glm")]
    model_type: String,
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    hidden_size: usize,
    /// Width of the feed-forward layer (f).
    intermediate_size: usize,
    /// Blocks.
    num_hidden_layers: usize,
    /// Query heads (h).
    num_attention_heads: usize,
    /// Key and value heads (g).
    num_key_value_heads: usize,
    /// Width of a head (d).
    head_dim: usize,
    /// Activation; only `silu` is GLM-4.
    #[serde(default = "silu")]
    hidden_act: String,
    /// Longest sequence.
    max_position_embeddings: usize,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// Added to the mean square in RMSNorm.
    #[serde(default = "default_eps")]
    rms_norm_eps: f64,
    /// Whether the head is the embedding.
    #[serde(default)]
    tie_word_embeddings: bool,
    /// Whether queries, keys and values have biases.
    #[serde(default = "yes")]
    attention_bias: bool,
    /// Base of the rotary frequencies, in the spelling of transformers 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    /// Share of a head that turns, in the spelling of transformers 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partial_rotary_factor: Option<f64>,
    /// Rotary settings, in the spelling of transformers 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RopeParameters>,
}

fn glm() -> String {
    "glm".into()
}

fn silu() -> String {
    "silu".into()
}

fn default_range() -> f64 {
    0.02
}

fn default_eps() -> f64 {
    1.5625e-7
}

fn yes() -> bool {
    true
}

impl crate::architecture::Config for Config {
    fn from_json(config: &Value) -> Result<Self, ModelError> {
        let modern = chatglm::modern(config)?;
        let config: Self = serde_json::from_value(modern.unwrap_or_else(|| config.clone()))?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ModelError> {
        let (heads, groups) = (self.num_attention_heads, self.num_key_value_heads);
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", heads),
            ("num_key_value_heads", groups),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        expect(heads % groups == 0, "num_key_value_heads", groups, || format!("a divisor of {heads} heads"))?;
        let turning = self.turning();
        let right = turning >= 2 && turning <= self.head_dim && turning.is_multiple_of(2);
        expect(right, "partial_rotary_factor", turning, || "an even part of head_dim".into())?;
        expect_word("hidden_act", &self.hidden_act, &["silu", "swish"])?;
        let rope = self.rope();
        let whole = rope.score_factor() == 1.0;
        expect(whole, "rope_type", "yarn", || "another one: only a part of a head turns".into())?;
        rope.validate(self.turning())
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.max_position_embeddings,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_heads: self.num_key_value_heads,
            head_width: self.head_dim,
            feed_forward: self.intermediate_size,
        }
    }

    /// Heads that share the width, as many for keys; a feed-forward layer of 8/3 of the width, rounded up to 32.
    fn complete(recipe: &mut Map<String, Value>) {
        let number = |name: &str, default: u64| recipe.get(name).and_then(Value::as_u64).unwrap_or(default);
        let (width, heads) = (number("hidden_size", 0), number("num_attention_heads", 1).max(1));
        let feed_forward = width.saturating_mul(8).div_ceil(3).div_ceil(32).saturating_mul(32);
        let rope = json!({"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.5});
        let defaults = [
            ("intermediate_size", json!(feed_forward)),
            ("num_key_value_heads", json!(heads)),
            ("head_dim", json!(width / heads)),
            ("tie_word_embeddings", json!(true)),
            ("rope_parameters", rope),
        ];
        for (field, value) in defaults {
            recipe.entry(field).or_insert(value);
        }
    }
}

impl Config {
    fn rope(&self) -> RopeParameters {
        let mut rope = self.rope_parameters.clone().unwrap_or_default();
        rope.rope_theta = rope.rope_theta.or(self.rope_theta);
        rope
    }

    /// Width of the part of a head that turns (r).
    fn turning(&self) -> usize {
        let given = self.rope_parameters.as_ref().and_then(|rope| rope.partial_rotary_factor);
        let share = given.or(self.partial_rotary_factor).unwrap_or(0.5);
        (self.head_dim as f64 * share.clamp(0.0, 2.0)) as usize
    }
}

/// Attention with rotary positions.
#[derive(Module, Debug)]
#[expect(clippy::struct_field_names, reason = "Hugging Face's names")]
struct Attention {
    q_proj: Projection,
    k_proj: Projection,
    v_proj: Projection,
    o_proj: Projection,
}

/// The feed-forward layer, `down(silu(gate) · up)` of `[gate, up] = gate_up(x)`.
#[derive(Module, Debug)]
struct Mlp {
    gate_up_proj: Projection,
    down_proj: Projection,
}

/// A block: `x + attention(norm(x))`, then `x + mlp(norm(x))`, with a norm after each part where there is one.
#[derive(Module, Debug)]
struct Block {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
    post_self_attn_layernorm: Option<RmsNorm>,
    post_mlp_layernorm: Option<RmsNorm>,
}

/// Embedding, blocks, final norm.
#[derive(Module, Debug)]
struct Decoder {
    embed_tokens: Embedding,
    layers: Vec<Block>,
    norm: RmsNorm,
}

/// `GlmForCausalLM`, `Glm4ForCausalLM`.
#[derive(Module, Debug)]
pub(crate) struct Glm {
    model: Decoder,
    lm_head: Option<Projection>,
    #[module(skip)]
    config: Config,
}

/// What all blocks of one pass share.
struct Geometry {
    rows: Rows,
    head_dim: usize,
    angles: RopeAngles,
    how: How,
}

impl Architecture for Glm {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("glm", "GlmForCausalLM"), ("glm4", "Glm4ForCausalLM")];

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std) = (config.hidden_size, config.vocab_size, config.initializer_range);
        builder.optional_prefix("model.");
        let mut at = builder.at("model");
        let model = Decoder {
            embed_tokens: at.embedding("embed_tokens", [v, e], std)?,
            layers: at.list("layers", config.num_hidden_layers, |_, builder| Block::build(&config, builder))?,
            norm: at.rms_norm("norm", e, config.rms_norm_eps)?,
        };
        let lm_head = if config.tie_word_embeddings {
            builder.tied_head("lm_head.weight", [v, e]);
            None
        } else {
            Some(builder.dense("lm_head", Shape { inputs: e, outputs: v, bias: false, std })?)
        };
        Ok(Self { model, lm_head, config })
    }

    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = Rows::new(ids.len(), batch, pass);
        let head_dim = self.config.head_dim;
        let frequencies = self.config.rope().frequencies(self.config.turning());
        let (angles, how) = (rows.angles(&frequencies), rows.causal(head_dim));
        let geometry = Geometry { rows, head_dim, angles, how };
        let mut x_ne = pass.observe(|| "embeddings".into(), self.model.embed_tokens.forward(ids.into()));
        for (n, block) in self.model.layers.iter().enumerate() {
            x_ne = block.forward(x_ne, n, &geometry, pass);
        }
        pass.observe(|| "norm".into(), self.model.norm.forward(x_ne))
    }

    fn plain_head(&self) -> Option<(Tensor<2>, Precision)> {
        self.lm_head.as_ref().map_or_else(|| self.model.embed_tokens.plain(), Projection::plain)
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let logits_nv = match &self.lm_head {
            Some(head) => head.forward(x_ne),
            None => self.model.embed_tokens.project(x_ne),
        };
        pass.observe(|| "logits".into(), logits_nv)
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, std, eps) =
            (config.hidden_size, config.intermediate_size, config.initializer_range, config.rms_norm_eps);
        let (q, kv) = (config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim);
        let into_residual = std / (2.0 * config.num_hidden_layers as f64).sqrt();
        let (mut at, bias) = (builder.at("self_attn"), config.attention_bias);
        let self_attn = Attention {
            q_proj: at.dense("q_proj", Shape { inputs: e, outputs: q, bias, std })?,
            k_proj: at.dense("k_proj", Shape { inputs: e, outputs: kv, bias, std })?,
            v_proj: at.dense("v_proj", Shape { inputs: e, outputs: kv, bias, std })?,
            o_proj: at.dense("o_proj", Shape { inputs: q, outputs: e, bias: false, std: into_residual })?,
        };
        let mut at = builder.at("mlp");
        let mlp = Mlp {
            gate_up_proj: at.dense("gate_up_proj", Shape { inputs: e, outputs: 2 * f, bias: false, std })?,
            down_proj: at.dense("down_proj", Shape { inputs: f, outputs: e, bias: false, std: into_residual })?,
        };
        let after = config.model_type == "glm4";
        let mut after = |name: &str| after.then(|| builder.rms_norm(name, e, eps)).transpose();
        let (post_self_attn_layernorm, post_mlp_layernorm) =
            (after("post_self_attn_layernorm")?, after("post_mlp_layernorm")?);
        let input_layernorm = builder.rms_norm("input_layernorm", e, eps)?;
        let post_attention_layernorm = builder.rms_norm("post_attention_layernorm", e, eps)?;
        Ok(Self {
            self_attn,
            mlp,
            input_layernorm,
            post_attention_layernorm,
            post_self_attn_layernorm,
            post_mlp_layernorm,
        })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, geometry: &Geometry, pass: &mut Pass<'_>) -> Tensor<2> {
        let after = |norm: &Option<RmsNorm>, x_ne| match norm {
            Some(norm) => norm.forward(x_ne),
            None => x_ne,
        };
        let cache = pass.keys(n);
        let attended_ne = self.self_attn.forward(self.input_layernorm.forward(x_ne.clone()), geometry, cache);
        let attended_ne = after(&self.post_self_attn_layernorm, attended_ne);
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let fed_ne = self.mlp.forward(self.post_attention_layernorm.forward(x_ne.clone()));
        let fed_ne = after(&self.post_mlp_layernorm, fed_ne);
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}

impl Attention {
    fn forward(&self, x_ne: Tensor<2>, geometry: &Geometry, cache: Option<Keys<'_>>) -> Tensor<2> {
        let &Geometry { rows: Rows { batch, length, .. }, head_dim, .. } = geometry;
        // (n, h·d) → (b, t, h, d)
        let heads = |x: Tensor<2>| {
            let [_, width] = x.dims();
            x.reshape([batch, length, width / head_dim, head_dim])
        };
        let q_bthd = turn(heads(self.q_proj.forward(x_ne.clone())), &geometry.angles);
        let k_btgd = turn(heads(self.k_proj.forward(x_ne.clone())), &geometry.angles);
        let v_btgd = heads(self.v_proj.forward(x_ne));
        self.o_proj.forward(attend(q_bthd, (k_btgd, v_btgd), &geometry.how, cache))
    }
}

/// Rotates each pair `(x[2i], x[2i + 1])` of the first r numbers of every head of `x[b, t, h, d]`.
fn turn(x: Tensor<4>, angles: &RopeAngles) -> Tensor<4> {
    let ([b, t, h, d], r) = (x.dims(), angles.width());
    let first = x.clone().slice([0..b, 0..t, 0..h, 0..r]);
    // Pairs of neighbours become pairs at a distance of r/2, and again neighbours.
    let apart: Tensor<5> = first.reshape([b, t, h, r / 2, 2]).swap_dims(3, 4);
    let turned = ops::rope(apart.reshape([b, t, h, r]), angles);
    let beside: Tensor<5> = turned.reshape([b, t, h, 2, r / 2]).swap_dims(3, 4);
    let turned = beside.reshape([b, t, h, r]);
    if r == d { turned } else { Tensor::cat(vec![turned, x.slice([0..b, 0..t, 0..h, r..d])], 3) }
}

impl Mlp {
    fn forward(&self, x_ne: Tensor<2>) -> Tensor<2> {
        let both = self.gate_up_proj.forward(x_ne);
        let [n, width] = both.dims();
        let (gate_nf, up_nf) = (both.clone().slice([0..n, 0..width / 2]), both.slice([0..n, width / 2..width]));
        self.down_proj.forward_gated(Activation::Silu, gate_nf, up_nf)
    }
}
