//! LLaMA: a decoder with RMSNorm before each part, rotary positions, SwiGLU and grouped-query attention.
//!
//! Papers: LLaMA (arXiv:2302.13971), RMSNorm (1910.07467), `RoPE` (2104.09864), SwiGLU (2002.05202), grouped-query
//! attention (2305.13245). Weights and config as in Hugging Face's `LlamaForCausalLM`.
//!
//! Departures: the initial weights of the two projections that write into the residual stream are scaled by
//! `1/√(2·layers)`, as in GPT-2 (section 2.3 of its report).
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h query heads, g key heads, d head width,
//! f feed-forward width, v vocabulary.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use inkstone_nn::ops::{self, RopeAngles};
use inkstone_nn::{Embedding, Precision, Projection, RmsNorm};
use serde::Deserialize;
use serde_json::Value;

use crate::ModelError;
use crate::pass::{Cache, LayerCache, Pass};
use crate::weights::Weights;

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Deserialize)]
pub struct Config {
    /// Token ids (v).
    pub vocab_size: usize,
    /// Width of the residual stream (e).
    pub hidden_size: usize,
    /// Width of the feed-forward layer (f).
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads (h).
    pub num_attention_heads: usize,
    /// Key and value heads (g).
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head (d).
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Activation; only `silu` is LLaMA.
    #[serde(default = "silu")]
    pub hidden_act: String,
    /// Longest sequence.
    #[serde(default = "default_positions")]
    pub max_position_embeddings: usize,
    /// Added to the mean square in RMSNorm.
    #[serde(default = "default_eps")]
    pub rms_norm_eps: f64,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    pub initializer_range: f64,
    /// Whether the head is the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Whether the attention's projections have biases; not implemented.
    #[serde(default)]
    pub attention_bias: bool,
    /// Whether the feed-forward's projections have biases; not implemented.
    #[serde(default)]
    pub mlp_bias: bool,
    /// Base of the rotary frequencies, in the spelling of transformers 4.
    #[serde(default)]
    pub rope_theta: Option<f64>,
    /// Rotary settings, in the spelling of transformers 5.
    #[serde(default)]
    pub rope_parameters: Option<RopeParameters>,
    /// Rotary settings, in the spelling of transformers 4.
    #[serde(default)]
    pub rope_scaling: Option<RopeParameters>,
}

/// Rotary settings.
#[derive(Debug, Clone, Deserialize)]
pub struct RopeParameters {
    /// Only `default` is implemented.
    #[serde(default, alias = "type")]
    pub rope_type: Option<String>,
    /// Base of the frequencies.
    #[serde(default)]
    pub rope_theta: Option<f64>,
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

/// No honest model is larger; keeps a broken config from asking for all memory.
const MAX_SIZE: usize = 1 << 24;

impl Config {
    /// Reads and checks `config.json`.
    pub fn from_json(config: &Value) -> Result<Self, ModelError> {
        let config: Self = serde_json::from_value(config.clone())?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
            ("num_key_value_heads", self.kv_heads()),
            ("head_dim", self.head_dim()),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        for (field, size) in sizes {
            expect(size > 0 && size <= MAX_SIZE, field, size, || format!("1 to {MAX_SIZE}"))?;
        }
        let (heads, kv_heads, head_dim) = (self.num_attention_heads, self.kv_heads(), self.head_dim());
        expect(heads % kv_heads == 0, "num_key_value_heads", kv_heads, || format!("a divisor of {heads} heads"))?;
        expect(head_dim % 2 == 0, "head_dim", head_dim, || "an even number".into())?;
        expect(self.hidden_act == "silu", "hidden_act", &self.hidden_act, || "silu".into())?;
        expect(!self.attention_bias, "attention_bias", true, || "false (biases are not implemented)".into())?;
        expect(!self.mlp_bias, "mlp_bias", true, || "false (biases are not implemented)".into())?;
        for rope in [&self.rope_parameters, &self.rope_scaling].into_iter().flatten() {
            let kind = rope.rope_type.as_deref().unwrap_or("default");
            expect(kind == "default", "rope_type", kind, || "default (other kinds are not implemented)".into())?;
        }
        Ok(())
    }

    fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn theta(&self) -> f64 {
        let parameters = self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta);
        parameters.or(self.rope_theta).unwrap_or(10_000.0)
    }

    /// Numbers that the cache holds of one position of one block, for keys (and as many for values).
    pub(crate) fn kv_width(&self) -> usize {
        self.kv_heads() * self.head_dim()
    }

    /// Parameters of one block.
    fn block_parameters(&self) -> u64 {
        let (e, f, q, kv) =
            (self.hidden_size, self.intermediate_size, self.num_attention_heads * self.head_dim(), self.kv_width());
        (e * (2 * q + 2 * kv) + 3 * e * f + 2 * e) as u64
    }

    /// All parameters: embedding, blocks, final norm, and the head unless it is the embedding.
    pub(crate) fn parameters(&self) -> u64 {
        let table = (self.vocab_size * self.hidden_size) as u64;
        let head = if self.tie_word_embeddings { 0 } else { table };
        table + head + self.num_hidden_layers as u64 * self.block_parameters() + self.hidden_size as u64
    }

    /// FLOPs of training on one token: six for each parameter in a product (`PaLM`, arXiv:2204.02311, appendix B), and twelve for
    /// each layer, head, head width and key of the attention, of which a causal query sees half.
    pub(crate) fn flops_per_token(&self, context: usize) -> f64 {
        let products =
            self.num_hidden_layers as u64 * self.block_parameters() + (self.vocab_size * self.hidden_size) as u64;
        let scores = self.num_hidden_layers * self.num_attention_heads * self.head_dim() * context;
        6.0 * products as f64 + 6.0 * scores as f64
    }

    /// Numbers that the operations of one training step keep for each token: per block the inputs of two norms and of the
    /// projections behind them, queries, keys, values, the attention's output, gate, up and their product; then the head's
    /// input, the logits and their gradient.
    pub(crate) fn saved_per_token(&self) -> u64 {
        let (e, f, q) = (self.hidden_size, self.intermediate_size, self.num_attention_heads * self.head_dim());
        let block = 4 * e + 2 * q + 2 * self.kv_width() + 3 * f;
        (self.num_hidden_layers * block + 3 * e + 2 * self.vocab_size) as u64
    }
}

fn expect(
    right: bool,
    field: &'static str,
    got: impl std::fmt::Display,
    expected: impl FnOnce() -> String,
) -> Result<(), ModelError> {
    if right { Ok(()) } else { Err(ModelError::Config { field, got: got.to_string(), expected: expected() }) }
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

/// `LlamaForCausalLM`.
#[derive(Module, Debug)]
pub struct Llama {
    model: Decoder,
    lm_head: Option<Projection>,
    #[module(skip)]
    config: Config,
    #[module(skip)]
    head_precision: HeadPrecision,
}

/// Precision of a head that shares the embedding's table.
#[derive(Debug, Clone, Copy)]
struct HeadPrecision(Precision);

/// What all blocks of one pass share.
struct Geometry {
    batch: usize,
    length: usize,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    angles: RopeAngles,
    starts: Arc<[u32]>,
}

impl Llama {
    /// Builds the model over weights from wherever.
    pub(crate) fn new(
        config: Config,
        weights: &mut dyn Weights,
        precision: Precision,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let (e, v, std) = (config.hidden_size, config.vocab_size, config.initializer_range);
        let table = weights.matrix("model.embed_tokens.weight", [v, e], std)?;
        let layers = (0..config.num_hidden_layers)
            .map(|n| Block::new(n, &config, weights, precision, device))
            .collect::<Result<_, _>>()?;
        let norm = RmsNorm::new(weights.ones("model.norm.weight", e)?, config.rms_norm_eps, device);
        let lm_head = if config.tie_word_embeddings {
            None
        } else {
            Some(Projection::new(weights.matrix("lm_head.weight", [v, e], std)?, [v, e], precision, device))
        };
        let model = Decoder { embed_tokens: Embedding::new(table, [v, e], device), layers, norm };
        Ok(Self { model, lm_head, config, head_precision: HeadPrecision(precision) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Logits `[n, v]` of `ids[b, t]`; with a cache, `ids` go on from what it holds.
    pub(crate) fn forward(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let x_ne = self.hidden(ids, batch, pass);
        self.head(x_ne, pass)
    }

    /// The residual stream after the final norm, `[n, e]`.
    pub(crate) fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let geometry = self.geometry(ids.len(), batch, pass);
        let mut x_ne = self.model.embed_tokens.forward(ids.into());
        x_ne = pass.observe(|| "embeddings".into(), x_ne);
        for (n, block) in self.model.layers.iter().enumerate() {
            x_ne = block.forward(x_ne, n, &geometry, pass);
        }
        let x_ne = self.model.norm.forward(x_ne);
        pass.observe(|| "norm".into(), x_ne)
    }

    /// `[n, e]` to logits `[n, v]`.
    pub(crate) fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let logits_nv = match &self.lm_head {
            Some(head) => head.forward(x_ne),
            None => self.model.embed_tokens.project(x_ne, self.head_precision.0),
        };
        pass.observe(|| "logits".into(), logits_nv)
    }

    fn geometry(&self, n_ids: usize, batch: usize, pass: &Pass<'_>) -> Geometry {
        let length = n_ids / batch.max(1);
        let first = pass.cache.as_ref().map_or(0, |cache| cache.len());
        let (head_dim, theta) = (self.config.head_dim(), self.config.theta());
        Geometry {
            batch,
            length,
            heads: self.config.num_attention_heads,
            kv_heads: self.config.kv_heads(),
            head_dim,
            angles: RopeAngles::new(first, length, head_dim, theta),
            starts: pass.starts.map_or_else(|| vec![0; n_ids].into(), Arc::from),
        }
    }
}

impl Block {
    fn new(
        n: usize,
        config: &Config,
        weights: &mut dyn Weights,
        precision: Precision,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let (e, f, std) = (config.hidden_size, config.intermediate_size, config.initializer_range);
        let (q, kv) = (config.num_attention_heads * config.head_dim(), config.kv_width());
        let into_residual = std / (2.0 * config.num_hidden_layers as f64).sqrt();
        let mut projection = |name: &str, shape: [usize; 2], std: f64| {
            weights
                .matrix(&format!("model.layers.{n}.{name}.weight"), shape, std)
                .map(|weight| Projection::new(weight, shape, precision, device))
        };
        let self_attn = Attention {
            q_proj: projection("self_attn.q_proj", [q, e], std)?,
            k_proj: projection("self_attn.k_proj", [kv, e], std)?,
            v_proj: projection("self_attn.v_proj", [kv, e], std)?,
            o_proj: projection("self_attn.o_proj", [e, q], into_residual)?,
        };
        let mlp = Mlp {
            gate_proj: projection("mlp.gate_proj", [f, e], std)?,
            up_proj: projection("mlp.up_proj", [f, e], std)?,
            down_proj: projection("mlp.down_proj", [e, f], into_residual)?,
        };
        let mut norm = |name: &str| {
            weights
                .ones(&format!("model.layers.{n}.{name}.weight"), e)
                .map(|weight| RmsNorm::new(weight, config.rms_norm_eps, device))
        };
        let (input_layernorm, post_attention_layernorm) = (norm("input_layernorm")?, norm("post_attention_layernorm")?);
        Ok(Self { self_attn, mlp, input_layernorm, post_attention_layernorm })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, geometry: &Geometry, pass: &mut Pass<'_>) -> Tensor<2> {
        let cache = pass.cache.as_deref_mut().map(|cache| cache.layer(n));
        let attended_ne = self.self_attn.forward(self.input_layernorm.forward(x_ne.clone()), geometry, cache);
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let fed_ne = self.mlp.forward(self.post_attention_layernorm.forward(x_ne.clone()));
        let x_ne = x_ne + pass.observe(|| format!("layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}

impl Attention {
    fn forward(&self, x_ne: Tensor<2>, geometry: &Geometry, cache: Option<&mut LayerCache>) -> Tensor<2> {
        let &Geometry { batch: b, length: t, heads: h, kv_heads: g, head_dim: d, .. } = geometry;
        let q_bthd = ops::rope(self.q_proj.forward(x_ne.clone()).reshape([b, t, h, d]), &geometry.angles);
        let k_btgd = ops::rope(self.k_proj.forward(x_ne.clone()).reshape([b, t, g, d]), &geometry.angles);
        let v_btgd = self.v_proj.forward(x_ne).reshape([b, t, g, d]);
        let starts = Arc::clone(&geometry.starts);
        let scale = 1.0 / (d as f32).sqrt();
        let out_bthd = match cache {
            None => ops::attention(q_bthd, k_btgd, v_btgd, starts, scale),
            Some(cache) => {
                ops::append(&mut cache.k, k_btgd);
                ops::append(&mut cache.v, v_btgd);
                ops::attention_over(q_bthd, (&cache.k, &cache.v), g, starts, scale)
            }
        };
        self.o_proj.forward(out_bthd.reshape([b * t, h * d]))
    }
}

impl Mlp {
    fn forward(&self, x_ne: Tensor<2>) -> Tensor<2> {
        let (gate_nf, up_nf) = (self.gate_proj.forward(x_ne.clone()), self.up_proj.forward(x_ne));
        self.down_proj.forward(ops::swiglu(gate_nf, up_nf))
    }
}

impl Llama {
    /// An empty cache for `capacity` positions.
    pub(crate) fn cache(&self, capacity: usize) -> Cache {
        Cache::new(self.config.num_hidden_layers, self.config.kv_width(), capacity)
    }
}
