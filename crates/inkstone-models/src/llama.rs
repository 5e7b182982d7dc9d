//! LLaMA and its nearest kin: a decoder with RMSNorm before each part, rotary positions, SwiGLU and grouped-query attention.
//!
//! Papers: LLaMA (arXiv:2302.13971), RMSNorm (1910.07467), `RoPE` (2104.09864), SwiGLU (2002.05202), grouped-query
//! attention (2305.13245). Weights and config as in Hugging Face's `LlamaForCausalLM`. Kin that differ by their config:
//! Mistral (2310.06825: a sliding window), Qwen2 (2407.10671: biases of queries, keys and values), Llama 3 (2407.21783:
//! rotary frequencies stretched for longer contexts).
//!
//! Departures: the initial weights of the two projections that write into the residual stream are scaled by
//! `1/√(2·layers)`, as in GPT-2 (section 2.3 of its report).
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h query heads, g key heads, d head width,
//! f feed-forward width, v vocabulary.

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::ops::{self, Attention as How, RopeAngles};
use inkstone_nn::{Activation, Embedding, Precision, Projection, RmsNorm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes, expect_word};
use crate::pass::{Keys, Pass};
use crate::rope::RopeParameters;
use crate::rows::{Rows, attend};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// `llama`, `mistral` or `qwen2`.
    #[serde(default = "llama")]
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
    #[serde(default)]
    num_key_value_heads: Option<usize>,
    /// Width of a head (d).
    #[serde(default)]
    head_dim: Option<usize>,
    /// Activation; only `silu` is LLaMA.
    #[serde(default = "silu")]
    hidden_act: String,
    /// Longest sequence.
    #[serde(default = "default_positions")]
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
    /// Base of the rotary frequencies, in the spelling of transformers 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    /// Rotary settings, in the spelling of transformers 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_parameters: Option<RopeParameters>,
    /// Rotary settings, in the spelling of transformers 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_scaling: Option<RopeParameters>,
    /// Whether the attention's projections have biases.
    #[serde(default)]
    attention_bias: bool,
    /// Whether the feed-forward's projections have biases.
    #[serde(default)]
    mlp_bias: bool,
    /// Tokens that a token sees, its own included (Mistral).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sliding_window: Option<usize>,
    /// Whether Qwen2 uses `sliding_window`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    use_sliding_window: Option<bool>,
    /// The first block of Qwen2 with a window, in the spelling of transformers 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_window_layers: Option<usize>,
    /// `full_attention` or `sliding_attention` for each block, in the spelling of transformers 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer_types: Option<Vec<String>>,
}

fn llama() -> String {
    "llama".into()
}

fn silu() -> String {
    "silu".into()
}

fn default_positions() -> usize {
    2048
}

fn default_eps() -> f64 {
    1e-6
}

fn default_range() -> f64 {
    0.02
}

impl crate::architecture::Config for Config {
    fn validate(&self) -> Result<(), ModelError> {
        let (heads, kv_heads, head_dim) = (self.num_attention_heads, self.kv_heads(), self.head_dim());
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", heads),
            ("num_key_value_heads", kv_heads),
            ("head_dim", head_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ])?;
        expect(heads % kv_heads == 0, "num_key_value_heads", kv_heads, || format!("a divisor of {heads} heads"))?;
        expect(head_dim % 2 == 0, "head_dim", head_dim, || "an even number".into())?;
        let right = self.head_dim.is_some() || self.hidden_size.is_multiple_of(heads);
        expect(right, "hidden_size", self.hidden_size, || format!("a multiple of num_attention_heads = {heads}"))?;
        expect_word("hidden_act", &self.hidden_act, &["silu", "swish"])?;
        expect(self.sliding_window != Some(0), "sliding_window", 0, || "1 or more".into())?;
        self.rope().validate(head_dim)
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.max_position_embeddings,
            width: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            key_heads: self.kv_heads(),
            head_width: self.head_dim(),
            feed_forward: self.intermediate_size,
        }
    }

    /// A tied head; a feed-forward layer of 8/3 of the width, rounded up to 32; rotary settings in both spellings.
    fn complete(recipe: &mut Map<String, Value>) {
        let number = |name: &str, default: u64| recipe.get(name).and_then(Value::as_u64).unwrap_or(default);
        let (width, heads) = (number("hidden_size", 0), number("num_attention_heads", 1).max(1));
        let theta = recipe.get("rope_theta").and_then(Value::as_f64).unwrap_or(10_000.0);
        let feed_forward = width.saturating_mul(8).div_ceil(3).div_ceil(32).saturating_mul(32);
        let defaults = [
            ("intermediate_size", json!(feed_forward)),
            ("num_key_value_heads", json!(heads)),
            ("head_dim", json!(width / heads)),
            ("rms_norm_eps", json!(1e-5)),
            ("tie_word_embeddings", json!(true)),
            ("rope_theta", json!(theta)),
            ("rope_parameters", json!({"rope_type": "default", "rope_theta": theta})),
        ];
        for (field, value) in defaults {
            recipe.entry(field).or_insert(value);
        }
    }
}

impl Config {
    fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// The rotary settings, in whichever spelling.
    fn rope(&self) -> RopeParameters {
        let mut rope = self.rope_parameters.clone().or_else(|| self.rope_scaling.clone()).unwrap_or_default();
        rope.rope_theta = rope.rope_theta.or(self.rope_theta);
        rope
    }

    /// Whether queries, keys and values have biases, and whether the output has one.
    fn attention_biases(&self) -> (bool, bool) {
        (self.attention_bias || self.model_type == "qwen2", self.attention_bias)
    }

    /// The sliding window of block `n`, where it has one.
    fn window(&self, n: usize) -> Option<usize> {
        let slides = match (&self.layer_types, self.model_type.as_str()) {
            (Some(types), _) => types.get(n).is_some_and(|kind| kind == "sliding_attention"),
            (None, "mistral") => true,
            (None, "qwen2") => {
                self.use_sliding_window == Some(true) && n >= self.max_window_layers.unwrap_or(usize::MAX)
            }
            (None, _) => false,
        };
        self.sliding_window.filter(|_| slides)
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

/// `LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM`.
#[derive(Module, Debug)]
pub(crate) struct Llama {
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
}

impl Architecture for Llama {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] =
        &[("llama", "LlamaForCausalLM"), ("mistral", "MistralForCausalLM"), ("qwen2", "Qwen2ForCausalLM")];

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std) = (config.hidden_size, config.vocab_size, config.initializer_range);
        builder.optional_prefix("model.");
        builder.ignore(&["rotary_emb.inv_freq"]);
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
        let head_dim = self.config.head_dim();
        let rope = self.config.rope();
        let angles = rows.angles(&rope.frequencies(head_dim));
        let geometry = Geometry { rows, head_dim, angles };
        let mut x_ne = self.model.embed_tokens.forward(ids.into());
        x_ne = pass.observe(|| "embeddings".into(), x_ne);
        for (n, block) in self.model.layers.iter().enumerate() {
            let mut how = match self.config.window(n) {
                Some(window) => geometry.rows.sliding(head_dim, window),
                None => geometry.rows.causal(head_dim),
            };
            how.scale *= rope.score_factor();
            how.precision = block.self_attn.q_proj.precision();
            x_ne = block.forward(x_ne, n, (&geometry, &how), pass);
        }
        let x_ne = self.model.norm.forward(x_ne);
        pass.observe(|| "norm".into(), x_ne)
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
        let (e, f, std) = (config.hidden_size, config.intermediate_size, config.initializer_range);
        let (q, kv) = (config.num_attention_heads * config.head_dim(), config.kv_heads() * config.head_dim());
        let into_residual = std / (2.0 * config.num_hidden_layers as f64).sqrt();
        let (qkv_bias, out_bias) = config.attention_biases();
        let mut at = builder.at("self_attn");
        let self_attn = Attention {
            q_proj: at.dense("q_proj", Shape { inputs: e, outputs: q, bias: qkv_bias, std })?,
            k_proj: at.dense("k_proj", Shape { inputs: e, outputs: kv, bias: qkv_bias, std })?,
            v_proj: at.dense("v_proj", Shape { inputs: e, outputs: kv, bias: qkv_bias, std })?,
            o_proj: at.dense("o_proj", Shape { inputs: q, outputs: e, bias: out_bias, std: into_residual })?,
        };
        let (mut at, bias) = (builder.at("mlp"), config.mlp_bias);
        let mlp = Mlp {
            gate_proj: at.dense("gate_proj", Shape { inputs: e, outputs: f, bias, std })?,
            up_proj: at.dense("up_proj", Shape { inputs: e, outputs: f, bias, std })?,
            down_proj: at.dense("down_proj", Shape { inputs: f, outputs: e, bias, std: into_residual })?,
        };
        let input_layernorm = builder.rms_norm("input_layernorm", e, config.rms_norm_eps)?;
        let post_attention_layernorm = builder.rms_norm("post_attention_layernorm", e, config.rms_norm_eps)?;
        Ok(Self { self_attn, mlp, input_layernorm, post_attention_layernorm })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, (geometry, how): (&Geometry, &How), pass: &mut Pass<'_>) -> Tensor<2> {
        let cache = pass.keys(n);
        let normed_ne = self.input_layernorm.forward_to(x_ne.clone(), how.precision);
        let attended_ne = self.self_attn.forward(normed_ne, (geometry, how), cache);
        let x_ne = ops::add(x_ne, pass.observe(|| format!("layers.{n}.attention"), attended_ne));
        let fed_ne = self.mlp.forward(self.post_attention_layernorm.forward_to(x_ne.clone(), how.precision));
        let x_ne = ops::add(x_ne, pass.observe(|| format!("layers.{n}.mlp"), fed_ne));
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}

impl Attention {
    fn forward(&self, x_ne: Tensor<2>, (geometry, how): (&Geometry, &How), cache: Option<Keys<'_>>) -> Tensor<2> {
        let &Geometry { rows: Rows { batch, length, .. }, head_dim, .. } = geometry;
        // (n, h·d) → (b, t, h, d)
        let heads = |x: Tensor<2>| {
            let [_, width] = x.dims();
            x.reshape([batch, length, width / head_dim, head_dim])
        };
        let [q_bthd, k_btgd, v_btgd] =
            Projection::forward_together([&self.q_proj, &self.k_proj, &self.v_proj], x_ne).map(heads);
        let (q_bthd, k_btgd) = (ops::rope(q_bthd, &geometry.angles), ops::rope(k_btgd, &geometry.angles));
        self.o_proj.forward(attend(q_bthd, (k_btgd, v_btgd), how, cache))
    }
}

impl Mlp {
    fn forward(&self, x_ne: Tensor<2>) -> Tensor<2> {
        let [gate_nf, up_nf] = Projection::forward_together([&self.gate_proj, &self.up_proj], x_ne);
        self.down_proj.forward_gated(Activation::Silu, gate_nf, up_nf)
    }
}
