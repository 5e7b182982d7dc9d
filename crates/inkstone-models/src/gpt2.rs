//! GPT-2: a decoder with layer normalisation before each part, learned positions and a tied head. GPT-3 is the same with
//! other sizes, except that every other of its blocks attends sparsely (here all attend to everything).
//!
//! Papers: GPT-2 (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.3), GPT-3
//! (arXiv:2005.14165, section 2.1). Weights and config as in Hugging Face's `GPT2LMHeadModel`; the projections store their
//! weights inputs first ("`Conv1D`").
//!
//! Departures: no dropout. The position of a token counts from where its document starts, so that documents in one row
//! are as if alone.
//!
//! Shapes: b batch, t position, n = b·t, e width of the residual stream, h heads, d head width, f feed-forward width,
//! v vocabulary.

use burn::module::Module;
use burn::tensor::Tensor;
use inkstone_nn::ops::{self, Attention as How};
use inkstone_nn::{Activation, Embedding, LayerNorm, Precision, Projection};
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
    /// Width of the feed-forward layer (f); left out: four times `n_embd`.
    #[serde(default)]
    n_inner: Option<usize>,
    /// The function between the two projections of the feed-forward layer.
    #[serde(default = "gelu_new")]
    activation_function: String,
    /// Added to the variance in layer normalisation.
    #[serde(default = "default_eps")]
    layer_norm_epsilon: f64,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// Whether the scores are divided by the root of the head's width.
    #[serde(default = "yes")]
    scale_attn_weights: bool,
    /// Whether the scores are also divided by the number of the block.
    #[serde(default)]
    scale_attn_by_inverse_layer_idx: bool,
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

fn gelu_new() -> String {
    "gelu_new".into()
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
            ("n_inner", self.inner()),
        ])?;
        let heads = self.n_head;
        expect(self.n_embd.is_multiple_of(heads), "n_embd", self.n_embd, || format!("a multiple of n_head = {heads}"))?;
        expect_word("activation_function", &self.activation_function, Activation::NAMES)
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
            feed_forward: self.inner(),
        }
    }

    fn complete(recipe: &mut Map<String, Value>) {
        for field in ["resid_pdrop", "embd_pdrop", "attn_pdrop"] {
            recipe.entry(field).or_insert(json!(0.0));
        }
    }
}

impl Config {
    fn inner(&self) -> usize {
        self.n_inner.unwrap_or_else(|| self.n_embd.saturating_mul(4))
    }

    fn activation(&self) -> Activation {
        Activation::named(&self.activation_function).unwrap_or(Activation::Relu)
    }

    /// How block `n` attends.
    fn attention(&self, rows: &Rows, n: usize) -> How {
        let mut how = rows.causal(self.n_embd / self.n_head);
        if !self.scale_attn_weights {
            how.scale = 1.0;
        }
        if self.scale_attn_by_inverse_layer_idx {
            how.scale /= (n + 1) as f32;
        }
        how
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

/// A block: `x + attention(norm(x))`, then `x + mlp(norm(x))`.
#[derive(Module, Debug)]
struct Block {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
}

/// Embeddings of tokens and positions, blocks, final norm.
#[derive(Module, Debug)]
struct Decoder {
    wte: Embedding,
    wpe: Embedding,
    h: Vec<Block>,
    ln_f: LayerNorm,
}

/// `GPT2LMHeadModel`.
#[derive(Module, Debug)]
pub(crate) struct Gpt2 {
    transformer: Decoder,
    lm_head: Option<Projection>,
    #[module(skip)]
    config: Config,
}

impl Architecture for Gpt2 {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("gpt2", "GPT2LMHeadModel")];

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std) = (config.n_embd, config.vocab_size, config.initializer_range);
        builder.optional_prefix("transformer.");
        // Old files hold the causal masks.
        builder.ignore(&["attn.bias", "attn.masked_bias"]);
        let mut at = builder.at("transformer");
        let transformer = Decoder {
            wte: at.embedding("wte", [v, e], std)?,
            wpe: at.embedding("wpe", [config.n_positions, e], std)?,
            h: at.list("h", config.n_layer, |_, builder| Block::build(&config, builder))?,
            ln_f: at.layer_norm("ln_f", e, config.layer_norm_epsilon)?,
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
        let x_ne = decoder.wte.forward(ids.into()) + decoder.wpe.forward(rows.positions());
        let mut x_ne = pass.observe(|| "embeddings".into(), x_ne);
        for (n, block) in decoder.h.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (&self.config, &rows), pass);
        }
        pass.observe(|| "norm".into(), decoder.ln_f.forward(x_ne))
    }

    fn plain_head(&self) -> Option<(Tensor<2>, Precision)> {
        self.lm_head.as_ref().map_or_else(|| self.transformer.wte.plain(), Projection::plain)
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let logits_nv = match &self.lm_head {
            Some(head) => head.forward(x_ne),
            None => self.transformer.wte.project(x_ne),
        };
        pass.observe(|| "logits".into(), logits_nv)
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, std) = (config.n_embd, config.inner(), config.initializer_range);
        let (eps, into_residual) = (config.layer_norm_epsilon, std / (2.0 * config.n_layer as f64).sqrt());
        let shape = |inputs, outputs, std| Shape { inputs, outputs, bias: true, std };
        let ln_1 = builder.layer_norm("ln_1", e, eps)?;
        let attn = Attention {
            c_attn: builder.conv1d("attn.c_attn", shape(e, 3 * e, std))?,
            c_proj: builder.conv1d("attn.c_proj", shape(e, e, into_residual))?,
        };
        let ln_2 = builder.layer_norm("ln_2", e, eps)?;
        let mlp = Mlp {
            c_fc: builder.conv1d("mlp.c_fc", shape(e, f, std))?,
            c_proj: builder.conv1d("mlp.c_proj", shape(f, e, into_residual))?,
        };
        Ok(Self { ln_1, attn, ln_2, mlp })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, (config, rows): (&Config, &Rows), pass: &mut Pass<'_>) -> Tensor<2> {
        let (cache, how) = (pass.keys(n), config.attention(rows, n));
        let how = How { precision: self.attn.c_attn.precision(), ..how };
        let qkv = self.attn.c_attn.forward_narrow(self.ln_1.forward_to(x_ne.clone(), how.precision));
        let out_ne = attend_packed(qkv, (rows, [config.n_head; 2]), (&how, None), cache);
        let attended_ne = self.attn.c_proj.forward(out_ne);
        let x_ne = ops::add(x_ne, pass.observe(|| format!("layers.{n}.attention"), attended_ne));
        let normed_ne = self.ln_2.forward_to(x_ne.clone(), how.precision);
        let inner_nf = config.activation().forward(self.mlp.c_fc.forward_narrow(normed_ne));
        let x_ne = ops::add(x_ne, pass.observe(|| format!("layers.{n}.mlp"), self.mlp.c_proj.forward(inner_nf)));
        pass.observe(|| format!("layers.{n}"), x_ne)
    }
}
