//! ALBERT: BERT whose blocks share their weights and whose embedding is narrower than its residual stream; a masked-language
//! head, and one that tells whether two sentences stand in their order.
//!
//! Paper: ALBERT (arXiv:1909.11942, section 3). Weights and config as in Hugging Face's `AlbertForPreTraining` and
//! `AlbertForMaskedLM`; which heads there are is told by `architectures`.
//!
//! Departures: no dropout.
//!
//! Shapes: b batch, t position, n = b·t, c width of the embedding, e width of the residual stream, h heads, d head width,
//! f feed-forward width, v vocabulary.

#![allow(non_snake_case, reason = "Hugging Face's names")]

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use inkstone_nn::{Activation, Embedding, LayerNorm, Projection, ops};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::ModelError;
use crate::architecture::{Architecture, Dimensions, Kind};
use crate::bert::first_tokens;
use crate::builder::{Builder, Shape};
use crate::fields::{expect, expect_sizes, expect_word};
use crate::heads::{is_task, judges_rows};
use crate::pass::Pass;
use crate::rows::{Rows, attend, heads_of};

/// The fields of `config.json` that matter to the maths.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Config {
    /// The class, which says what heads there are.
    #[serde(default)]
    architectures: Vec<String>,
    /// Token ids (v).
    vocab_size: usize,
    /// Width of the embedding (c).
    #[serde(default = "default_embedding")]
    embedding_size: usize,
    /// Width of the residual stream (e).
    hidden_size: usize,
    /// Blocks.
    num_hidden_layers: usize,
    /// Groups of blocks that share their weights.
    #[serde(default = "one")]
    num_hidden_groups: usize,
    /// Blocks of different weights in a group.
    #[serde(default = "one")]
    inner_group_num: usize,
    /// Heads (h).
    num_attention_heads: usize,
    /// Width of the feed-forward layer (f).
    intermediate_size: usize,
    /// The function of the feed-forward layer and of the head.
    #[serde(default = "gelu_new")]
    hidden_act: String,
    /// Longest sequence.
    max_position_embeddings: usize,
    /// Kinds of segments.
    #[serde(default = "two")]
    type_vocab_size: usize,
    /// Added to the variance in layer normalisation.
    #[serde(default = "default_eps")]
    layer_norm_eps: f64,
    /// Standard deviation of the initial weights.
    #[serde(default = "default_range")]
    initializer_range: f64,
    /// Whether the head is the embedding.
    #[serde(default = "yes")]
    tie_word_embeddings: bool,
}

fn default_embedding() -> usize {
    128
}

fn one() -> usize {
    1
}

fn gelu_new() -> String {
    "gelu_new".into()
}

fn two() -> usize {
    2
}

fn default_eps() -> f64 {
    1e-12
}

fn default_range() -> f64 {
    0.02
}

fn yes() -> bool {
    true
}

impl crate::architecture::Config for Config {
    fn validate(&self) -> Result<(), ModelError> {
        expect_sizes(&[
            ("vocab_size", self.vocab_size),
            ("embedding_size", self.embedding_size),
            ("hidden_size", self.hidden_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_hidden_groups", self.num_hidden_groups),
            ("inner_group_num", self.inner_group_num),
            ("num_attention_heads", self.num_attention_heads),
            ("intermediate_size", self.intermediate_size),
            ("max_position_embeddings", self.max_position_embeddings),
            ("type_vocab_size", self.type_vocab_size),
        ])?;
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        expect(width % heads == 0, "hidden_size", width, || format!("a multiple of num_attention_heads = {heads}"))?;
        let (groups, layers) = (self.num_hidden_groups, self.num_hidden_layers);
        expect(groups <= layers, "num_hidden_groups", groups, || format!("at most num_hidden_layers = {layers}"))?;
        expect(self.tie_word_embeddings, "tie_word_embeddings", false, || "true".into())?;
        expect_word("hidden_act", &self.hidden_act, Activation::NAMES)
    }

    fn dimensions(&self) -> Dimensions {
        Dimensions {
            vocabulary: self.vocab_size,
            positions: self.max_position_embeddings,
            width: self.hidden_size,
            layers: self.num_hidden_layers * self.inner_group_num,
            heads: self.num_attention_heads,
            key_heads: self.num_attention_heads,
            head_width: self.hidden_size / self.num_attention_heads,
            feed_forward: self.intermediate_size,
        }
    }

    /// A feed-forward layer of four times the width.
    fn complete(recipe: &mut Map<String, Value>) {
        let width = recipe.get("hidden_size").and_then(Value::as_u64).unwrap_or(0);
        recipe.entry("intermediate_size").or_insert(json!(width.saturating_mul(4)));
    }
}

impl Config {
    fn judges_sentences(&self) -> bool {
        self.architectures.iter().any(|class| class == "AlbertForPreTraining")
    }

    /// Whether the first token is projected for whoever judges the row.
    fn pools(&self) -> bool {
        self.judges_sentences() || judges_rows(&self.architectures)
    }

    fn activation(&self) -> Activation {
        Activation::named(&self.hidden_act).unwrap_or(Activation::Relu)
    }

    /// The group that block `n` takes its weights from.
    fn group(&self, n: usize) -> usize {
        n * self.num_hidden_groups / self.num_hidden_layers
    }
}

/// Embeddings of tokens, positions and segments, normalised.
#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    LayerNorm: LayerNorm,
}

/// Attention, with the norm of what comes of it.
#[derive(Module, Debug)]
struct Attention {
    query: Projection,
    key: Projection,
    value: Projection,
    dense: Projection,
    LayerNorm: LayerNorm,
}

/// A block: `norm(x + attention(x))`, then `norm(x + ffn_output(gelu(ffn(x))))`.
#[derive(Module, Debug)]
struct Block {
    full_layer_layer_norm: LayerNorm,
    attention: Attention,
    ffn: Projection,
    ffn_output: Projection,
}

/// Blocks of different weights, one after the other.
#[derive(Module, Debug)]
struct Group {
    albert_layers: Vec<Block>,
}

/// The way from the embedding into the residual stream, and the groups.
#[derive(Module, Debug)]
struct Groups {
    embedding_hidden_mapping_in: Projection,
    albert_layer_groups: Vec<Group>,
}

/// Embeddings, blocks, and the projection of the first token where there is one.
#[derive(Module, Debug)]
struct Encoder {
    embeddings: Embeddings,
    encoder: Groups,
    pooler: Option<Projection>,
}

/// The masked-language head.
#[derive(Module, Debug)]
struct Predictions {
    bias: Param<Tensor<1>>,
    LayerNorm: LayerNorm,
    dense: Projection,
}

/// The sentence-order head.
#[derive(Module, Debug)]
struct SentenceOrder {
    classifier: Projection,
}

/// `AlbertForPreTraining`, `AlbertForMaskedLM`.
#[derive(Module, Debug)]
pub(crate) struct Albert {
    albert: Encoder,
    predictions: Option<Predictions>,
    sop_classifier: Option<SentenceOrder>,
    #[module(skip)]
    config: Config,
}

impl Architecture for Albert {
    type Config = Config;

    const TYPES: &'static [(&'static str, &'static str)] = &[("albert", "AlbertForPreTraining")];
    const KIND: Kind = Kind::Encoder;

    fn build(config: Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (c, e, v, std) = (config.embedding_size, config.hidden_size, config.vocab_size, config.initializer_range);
        builder.optional_prefix("albert.");
        // The list of positions, heads that this class lacks, and the names of what is shared.
        builder.ignore(&["position_ids", "decoder.bias"]);
        let (judge, restores) = (config.judges_sentences(), !is_task(&config.architectures));
        if restores {
            builder.tied_head("predictions.decoder.weight", [v, c]);
        }
        if !judge {
            builder.ignore(&["pooler.weight", "pooler.bias", "classifier.weight", "classifier.bias"]);
        }
        let albert = Encoder::build(&config, &mut builder.at("albert"))?;
        let predictions = restores.then(|| Predictions::build(&config, &mut builder.at("predictions"))).transpose()?;
        let pair = Shape { inputs: e, outputs: 2, bias: true, std };
        let classifier = judge.then(|| builder.dense("sop_classifier.classifier", pair)).transpose()?;
        let sop_classifier = classifier.map(|classifier| SentenceOrder { classifier });
        Ok(Self { albert, predictions, sop_classifier, config })
    }

    fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let rows = Rows::new(ids.len(), batch, pass);
        let x_nc = self.albert.embeddings.forward(ids, &rows, pass);
        let x_ne = self.albert.encoder.embedding_hidden_mapping_in.forward(x_nc);
        let mut x_ne = pass.observe(|| "embeddings".into(), x_ne);
        let inner = self.config.inner_group_num;
        for n in 0..self.config.num_hidden_layers {
            let group = &self.albert.encoder.albert_layer_groups[self.config.group(n)];
            for (i, block) in group.albert_layers.iter().enumerate() {
                x_ne = block.forward(x_ne, n * inner + i, (&self.config, &rows), pass);
            }
        }
        x_ne
    }

    fn head(&self, x_ne: Tensor<2>, pass: &mut Pass<'_>) -> Tensor<2> {
        let Some(Predictions { bias, LayerNorm, dense }) = &self.predictions else { return x_ne };
        let x_nc = LayerNorm.forward(self.config.activation().forward(dense.forward(x_ne)));
        let logits_nv = ops::add_bias(self.albert.embeddings.word_embeddings.project(x_nc), bias.val());
        pass.observe(|| "logits".into(), logits_nv)
    }

    /// Logits `[b, 2]` of two sentences standing in their order, or not, from the first token of each row.
    fn sentence_head(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>> {
        Some(self.sop_classifier.as_ref()?.classifier.forward(self.pooled(x_ne, batch)?))
    }

    fn pooled(&self, x_ne: &Tensor<2>, batch: usize) -> Option<Tensor<2>> {
        Some(self.albert.pooler.as_ref()?.forward(first_tokens(x_ne, batch)).tanh())
    }
}

impl Predictions {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (c, e, std) = (config.embedding_size, config.hidden_size, config.initializer_range);
        Ok(Self {
            bias: builder.zeros("bias", config.vocab_size)?,
            LayerNorm: builder.layer_norm("LayerNorm", c, config.layer_norm_eps)?,
            dense: builder.dense("dense", Shape { inputs: e, outputs: c, bias: true, std })?,
        })
    }
}

impl Encoder {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (c, e, std) = (config.embedding_size, config.hidden_size, config.initializer_range);
        let mut at = builder.at("embeddings");
        let embeddings = Embeddings {
            word_embeddings: at.embedding("word_embeddings", [config.vocab_size, c], std)?,
            position_embeddings: at.embedding("position_embeddings", [config.max_position_embeddings, c], std)?,
            token_type_embeddings: at.embedding("token_type_embeddings", [config.type_vocab_size, c], std)?,
            LayerNorm: at.layer_norm("LayerNorm", c, config.layer_norm_eps)?,
        };
        let mut at = builder.at("encoder");
        let inwards = Shape { inputs: c, outputs: e, bias: true, std };
        let encoder = Groups {
            embedding_hidden_mapping_in: at.dense("embedding_hidden_mapping_in", inwards)?,
            albert_layer_groups: at.list("albert_layer_groups", config.num_hidden_groups, |_, builder| {
                let block = |_: usize, builder: &mut Builder<'_>| Block::build(config, builder);
                Ok(Group { albert_layers: builder.list("albert_layers", config.inner_group_num, block)? })
            })?,
        };
        let square = Shape { inputs: e, outputs: e, bias: true, std };
        let pooler = config.pools().then(|| builder.dense("pooler", square)).transpose()?;
        Ok(Self { embeddings, encoder, pooler })
    }
}

impl Embeddings {
    fn forward(&self, ids: &[u32], rows: &Rows, pass: &Pass<'_>) -> Tensor<2> {
        let segments = pass.segments.map_or_else(|| vec![0; ids.len()], <[u32]>::to_vec);
        let x_nc = self.word_embeddings.forward(ids.into()) + self.position_embeddings.forward(rows.positions());
        self.LayerNorm.forward(x_nc + self.token_type_embeddings.forward(segments.into()))
    }
}

impl Block {
    fn build(config: &Config, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        let (e, f, eps) = (config.hidden_size, config.intermediate_size, config.layer_norm_eps);
        let shape = |inputs, outputs| Shape { inputs, outputs, bias: true, std: config.initializer_range };
        let mut at = builder.at("attention");
        let attention = Attention {
            query: at.dense("query", shape(e, e))?,
            key: at.dense("key", shape(e, e))?,
            value: at.dense("value", shape(e, e))?,
            dense: at.dense("dense", shape(e, e))?,
            LayerNorm: at.layer_norm("LayerNorm", e, eps)?,
        };
        Ok(Self {
            full_layer_layer_norm: builder.layer_norm("full_layer_layer_norm", e, eps)?,
            attention,
            ffn: builder.dense("ffn", shape(e, f))?,
            ffn_output: builder.dense("ffn_output", shape(f, e))?,
        })
    }

    fn forward(&self, x_ne: Tensor<2>, n: usize, (config, rows): (&Config, &Rows), pass: &mut Pass<'_>) -> Tensor<2> {
        let Attention { query, key, value, dense, LayerNorm } = &self.attention;
        let heads = |x: &Projection| heads_of(x.forward(x_ne.clone()), rows, config.num_attention_heads);
        let how = rows.both_ways(config.hidden_size / config.num_attention_heads);
        let keys = pass.keys(n);
        let attended_ne = dense.forward(attend(heads(query), (heads(key), heads(value)), &how, keys));
        let attended_ne = pass.observe(|| format!("layers.{n}.attention"), attended_ne);
        let x_ne = LayerNorm.forward(x_ne + attended_ne);
        let inner_nf = config.activation().forward(self.ffn.forward(x_ne.clone()));
        let fed_ne = pass.observe(|| format!("layers.{n}.mlp"), self.ffn_output.forward(inner_nf));
        pass.observe(|| format!("layers.{n}"), self.full_layer_layer_norm.forward(x_ne + fed_ne))
    }
}
