//! The transformer as it was first: an encoder and a decoder with layer normalisation after each part, sinusoidal positions, and one
//! table for source, target and head.
//!
//! Paper: "Attention Is All You Need" (arXiv:1706.03762, section 3). Weights and config as in Hugging Face's `MarianMTModel`, which is
//! this model; its positions have the sines of all frequencies before the cosines, where the paper has them in turn.
//!
//! Departures: no dropout.
//!
//! Shapes: b batch, t target position, s source position, n = b·t, e width of the residual stream, h heads, d head width,
//! f feed-forward width, v vocabulary.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use inkstone_nn::ops::Mask;
use inkstone_nn::{Activation, Embedding, LayerNorm, Projection, ops};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions, Kind};
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes, expect_word};
use crate::pass::{Keys, Pass, Source};
use crate::rows::{Memory, Rows, attend, attend_source, heads_of};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "those of config.json")]
pub(crate) struct Config {
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the residual stream (e).
    d_model: usize,
    /// Blocks of the encoder.
    encoder_layers: usize,
    /// Blocks of the decoder.
    decoder_layers: usize,
    /// Heads of the encoder.
    encoder_attention_heads: usize,
    /// Heads of the decoder.
    decoder_attention_heads: usize,
    /// Width of the encoder's feed-forward layers.
    encoder_ffn_dim: usize,
    /// Width of the decoder's feed-forward layers.
    decoder_ffn_dim: usize,
    /// The function of the feed-forward layers.
    #[serde(default = "gelu")]
    activation_function: String,
    /// Longest sequence.
    #[serde(default = "positions")]
    max_position_embeddings: usize,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_std")]
    init_std: f64,
    /// Whether embeddings are multiplied with the root of the width (section 3.4).
    #[serde(default)]
    scale_embedding: bool,
    /// Whether source and target have one table: always.
    #[serde(default = "yes")]
    share_encoder_decoder_embeddings: bool,
    /// Whether the head is the embedding: always.
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
    /// What the decoder begins with.
    #[serde(default)]
    decoder_start_token_id: u32,
    /// Always.
    #[serde(default = "yes")]
    is_encoder_decoder: bool,
}

fn gelu() -> String {
    "gelu".into()
}

fn positions() -> usize {
    1024
}

fn default_std() -> f64 {
    0.02
}

fn yes() -> bool {
    true
}

impl crate::architecture::Config for Config {
    const LAYERS: &'static [&'static str] = &["encoder_layers", "decoder_layers"];

    fn validate(&self) -> Result<(), ModelError> {
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("d_model", self.d_model),
            ("encoder_layers", self.encoder_layers),
            ("decoder_layers", self.decoder_layers),
            ("encoder_attention_heads", self.encoder_attention_heads),
            ("decoder_attention_heads", self.decoder_attention_heads),
            ("encoder_ffn_dim", self.encoder_ffn_dim),
            ("decoder_ffn_dim", self.decoder_ffn_dim),
            ("max_position_embeddings", self.max_position_embeddings),
        ];
        expect_sizes(&sizes)?;
        let width = self.d_model;
        for (field, heads) in &sizes[4..6] {
            let right = width.is_multiple_of(2 * heads) || width.is_multiple_of(*heads) && width.is_multiple_of(2);
            expect(right, "d_model", width, || format!("even, and a multiple of {field} = {heads}"))?;
        }
        // The cache has rows of one length.
        let (ours, theirs) = (self.decoder_attention_heads, self.encoder_attention_heads);
        expect(ours == theirs, "decoder_attention_heads", ours, || format!("encoder_attention_heads = {theirs}"))?;
        let one_table = self.share_encoder_decoder_embeddings && self.tie_word_embeddings;
        expect(one_table, "share_encoder_decoder_embeddings", false, || "one table, that of the head as well".into())?;
        expect_word("activation_function", &self.activation_function, Activation::NAMES)
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.max_position_embeddings,
            width: self.d_model,
            layers: self.encoder_layers + self.decoder_layers,
            heads: self.decoder_attention_heads,
            key_heads: self.decoder_attention_heads,
            head_width: self.d_model / self.decoder_attention_heads,
            feed_forward: self.decoder_ffn_dim,
        }
    }

    /// As in the paper: as many blocks and heads on either side, feed-forward layers of four times the width, scaled embeddings.
    fn complete(recipe: &mut Map<String, Value>) {
        let number = |name: &str| recipe.get(name).and_then(Value::as_u64).unwrap_or(0);
        let wide = number("d_model").saturating_mul(4);
        let defaults = [
            ("decoder_layers", json!(number("encoder_layers"))),
            ("decoder_attention_heads", json!(number("encoder_attention_heads"))),
            ("encoder_ffn_dim", json!(wide)),
            ("decoder_ffn_dim", json!(wide)),
            ("activation_function", json!("relu")),
            ("scale_embedding", json!(true)),
        ];
        for (field, value) in defaults {
            recipe.entry(field).or_insert(value);
        }
    }
}

impl Config {
    fn activation(&self) -> Activation {
        Activation::named(&self.activation_function).unwrap_or(Activation::Relu)
    }

    /// Sines of each position times `10000^(−2i/e)`, then the cosines, `[n, e]` (section 3.5).
    fn sinusoids(&self, positions: &[u32]) -> Vec<f32> {
        let (width, half) = (self.d_model, self.d_model / 2);
        let angle = |position: u32, i: usize| f64::from(position) / 10_000.0_f64.powf(2.0 * i as f64 / width as f64);
        let row = |&position: &u32| {
            let sines = (0..half).map(move |i| angle(position, i).sin() as f32);
            sines.chain((0..half).map(move |i| angle(position, i).cos() as f32))
        };
        positions.iter().flat_map(row).collect()
    }
}

/// Attention, to the own sequence or to the source.
#[derive(Module, Debug)]
#[expect(clippy::struct_field_names, reason = "Hugging Face's names")]
struct Attention {
    q_proj: Projection,
    k_proj: Projection,
    v_proj: Projection,
    out_proj: Projection,
}

/// A block of the encoder.
#[derive(Module, Debug)]
struct EncoderBlock {
    self_attn: Attention,
    self_attn_layer_norm: LayerNorm,
    fc1: Projection,
    fc2: Projection,
    final_layer_norm: LayerNorm,
}

/// A block of the decoder.
#[derive(Module, Debug)]
struct DecoderBlock {
    self_attn: Attention,
    self_attn_layer_norm: LayerNorm,
    encoder_attn: Attention,
    encoder_attn_layer_norm: LayerNorm,
    fc1: Projection,
    fc2: Projection,
    final_layer_norm: LayerNorm,
}

/// The encoder.
#[derive(Module, Debug)]
struct Encoder {
    layers: Vec<EncoderBlock>,
}

/// The decoder.
#[derive(Module, Debug)]
struct Decoder {
    layers: Vec<DecoderBlock>,
}

/// Embedding, encoder, decoder.
#[derive(Module, Debug)]
struct Body {
    shared: Embedding,
    encoder: Encoder,
    decoder: Decoder,
}

/// `MarianMTModel`.
#[derive(Module, Debug)]
pub(crate) struct Transformer {
    model: Body,
    /// `[1, v]`, added to the logits; never trained.
    final_logits_bias: Param<Tensor<2>>,
    #[module(skip)]
    config: Config,
}

impl Architecture for Transformer {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("marian", "MarianMTModel")];
    const KIND: Kind = Kind::EncoderDecoder;

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, v, std) = (config.d_model, config.vocab_size, config.init_std);
        // The tables of positions, and the names of what is shared.
        builder.ignore(&["embed_positions.weight", "embed_tokens.weight"]);
        builder.tied_head("lm_head.weight", [v, e]);
        let final_logits_bias = builder.fixed("final_logits_bias", [1, v])?;
        let mut at = builder.at("model");
        let model = Body {
            shared: at.embedding("shared", [v, e], std)?,
            encoder: Encoder {
                layers: at.list("encoder.layers", config.encoder_layers, |_, builder| {
                    EncoderBlock::build(&config, builder)
                })?,
            },
            decoder: Decoder {
                layers: at.list("decoder.layers", config.decoder_layers, |_, builder| {
                    DecoderBlock::build(&config, builder)
                })?,
            },
        };
        Ok(Self { model, final_logits_bias, config })
    }

    /// What the decoder makes of `ids[b, t]` and of the pass's source; without one it reads the target alone.
    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let has_source = pass.cache.as_deref().is_some_and(crate::pass::Cache::has_source);
        let source = pass.source.filter(|_| !has_source);
        let memory = source.map(|source| self.encode(&source, batch, pass));
        let rows = Rows::new(ids.len(), batch, pass);
        let mut x_ne = pass.observe(|| "decoder.embeddings".into(), self.embed(ids, &rows));
        for (n, block) in self.model.decoder.layers.iter().enumerate() {
            x_ne = block.forward(x_ne, n, (&self.config, &rows, memory.as_ref()), pass);
        }
        pass.observe(|| "norm".into(), x_ne)
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let logits_nv = self.model.shared.project(x_ne);
        let bias_v = self.final_logits_bias.val().detach().flatten(0, 1);
        pass.observe(|| "logits".into(), ops::add_bias(logits_nv, bias_v))
    }
}

impl Transformer {
    fn embed(&self, ids: &[u32], rows: &Rows) -> Tensor<2> {
        let (x_ne, e) = (self.model.shared.forward(ids.into()), self.config.d_model);
        let scale = if self.config.scale_embedding { (e as f32).sqrt() } else { 1.0 };
        let sinusoids = TensorData::new(self.config.sinusoids(&rows.positions()), [ids.len(), e]);
        let positions_ne = Tensor::from_data(sinusoids, &x_ne.device());
        x_ne * scale + positions_ne
    }

    fn encode(&self, source: &Source<'_>, batch: usize, pass: &mut Pass<'_>) -> Memory {
        let rows = Rows::source(source, batch);
        let mut x_me = pass.observe(|| "embeddings".into(), self.embed(source.ids, &rows));
        for (n, block) in self.model.encoder.layers.iter().enumerate() {
            x_me = block.forward(x_me, n, (&self.config, &rows), pass);
        }
        let mask: Mask = rows.both_ways(1).mask;
        Memory { x_me: pass.observe(|| "encoder.norm".into(), x_me), rows, mask }
    }
}

impl EncoderBlock {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, std) = (config.d_model, config.encoder_ffn_dim, config.init_std);
        let shape = |inputs, outputs| Shape { inputs, outputs, bias: true, std };
        Ok(Self {
            self_attn: Attention::build(config, &mut builder.at("self_attn"))?,
            self_attn_layer_norm: builder.layer_norm("self_attn_layer_norm", e, EPS)?,
            fc1: builder.dense("fc1", shape(e, f))?,
            fc2: builder.dense("fc2", shape(f, e))?,
            final_layer_norm: builder.layer_norm("final_layer_norm", e, EPS)?,
        })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, (config, rows): (&Config, &Rows), pass: &mut Pass<'_>) -> Tensor<2> {
        let how = rows.both_ways(config.d_model / config.encoder_attention_heads);
        let [q, k, v] = self.self_attn.heads(&x_ne, rows, config.encoder_attention_heads);
        let attended_ne = self.self_attn.out_proj.forward(attend(q, (k, v), &how, None));
        let attended_ne = pass.observe(|| format!("encoder.layers.{n}.attention"), attended_ne);
        let x_ne = self.self_attn_layer_norm.forward(x_ne + attended_ne);
        let fed_ne = self.fc2.forward(config.activation().forward(self.fc1.forward(x_ne.clone())));
        let fed_ne = pass.observe(|| format!("encoder.layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("encoder.layers.{n}"), self.final_layer_norm.forward(x_ne + fed_ne))
    }
}

impl DecoderBlock {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, std) = (config.d_model, config.decoder_ffn_dim, config.init_std);
        let shape = |inputs, outputs| Shape { inputs, outputs, bias: true, std };
        Ok(Self {
            self_attn: Attention::build(config, &mut builder.at("self_attn"))?,
            self_attn_layer_norm: builder.layer_norm("self_attn_layer_norm", e, EPS)?,
            encoder_attn: Attention::build(config, &mut builder.at("encoder_attn"))?,
            encoder_attn_layer_norm: builder.layer_norm("encoder_attn_layer_norm", e, EPS)?,
            fc1: builder.dense("fc1", shape(e, f))?,
            fc2: builder.dense("fc2", shape(f, e))?,
            final_layer_norm: builder.layer_norm("final_layer_norm", e, EPS)?,
        })
    }

    fn forward(
        &self,
        x_ne: Tensor<2>,
        n: usize,
        (config, rows, memory): (&Config, &Rows, Option<&Memory>),
        pass: &mut Pass<'_>,
    ) -> Tensor<2> {
        let heads = config.decoder_attention_heads;
        let how = rows.causal(config.d_model / heads);
        let [q, k, v] = self.self_attn.heads(&x_ne, rows, heads);
        let cache = pass.cache.as_deref_mut().map(|cache| Keys::Cached(cache.layer(n)));
        let attended_ne = self.self_attn.out_proj.forward(attend(q, (k, v), &how, cache));
        let attended_ne = pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let mut x_ne = self.self_attn_layer_norm.forward(x_ne + attended_ne);
        let cross = &self.encoder_attn;
        let q_bthd = heads_of(cross.q_proj.forward(x_ne.clone()), rows, heads);
        let keys =
            |part: &Projection, memory: &Memory| heads_of(part.forward(memory.x_me.clone()), &memory.rows, heads);
        let source = memory.map(|memory| (keys(&cross.k_proj, memory), keys(&cross.v_proj, memory), memory));
        let cache = pass.cache.as_deref_mut().map(|cache| cache.layer(n));
        if let Some(read_ne) = attend_source(q_bthd, source, how.scale, cache) {
            let read_ne = pass.observe(|| format!("layers.{n}.cross"), cross.out_proj.forward(read_ne));
            x_ne = self.encoder_attn_layer_norm.forward(x_ne + read_ne);
        }
        let fed_ne = self.fc2.forward(config.activation().forward(self.fc1.forward(x_ne.clone())));
        let fed_ne = pass.observe(|| format!("layers.{n}.mlp"), fed_ne);
        pass.observe(|| format!("layers.{n}"), self.final_layer_norm.forward(x_ne + fed_ne))
    }
}

/// Added to the variance in layer normalisation.
const EPS: f64 = 1e-5;

impl Attention {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let shape = Shape { inputs: config.d_model, outputs: config.d_model, bias: true, std: config.init_std };
        Ok(Self {
            q_proj: builder.dense("q_proj", shape)?,
            k_proj: builder.dense("k_proj", shape)?,
            v_proj: builder.dense("v_proj", shape)?,
            out_proj: builder.dense("out_proj", shape)?,
        })
    }

    /// Queries, keys and values of the own sequence.
    fn heads(&self, x_ne: &Tensor<2>, rows: &Rows, heads: usize) -> [Tensor<4>; 3] {
        [&self.q_proj, &self.k_proj, &self.v_proj].map(|part| heads_of(part.forward(x_ne.clone()), rows, heads))
    }
}
