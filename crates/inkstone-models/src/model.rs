//! [`Model`]: every architecture under one type.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use inkstone_formats::hf::{ModelFolder, ModelPlan, ModelWriter};
use inkstone_formats::safetensors::{TensorLayout, f32_bytes};
use inkstone_nn::{Precision, ops};
use serde_json::Value;

use crate::architecture::{Dimensions, Kind, Network, Update, Visit, VisitGradient};
use crate::builder::Builder;
use crate::chatglm;
use crate::heads::{Head, body, last_tokens};
use crate::pass::{Cache, NoObserver, Pass, Source, Store};
use crate::prefix::{Prefix, Prefixed};
use crate::registry::entry_of;
use crate::score::{ScoreHead, is_scored, scored_class};
use crate::virtual_tokens::{Before, Expanded};
use crate::weights::{Drawn, Read, ReadOrDrawn, Weights};
use crate::{ModelError, cost};

/// A language model of any architecture, with the `config.json` that it came with.
#[derive(Debug)]
pub struct Model {
    network: Box<dyn Network>,
    config: Value,
    dimensions: Dimensions,
    kind: Kind,
    score: Option<ScoreHead>,
    /// Tokens of learnt embeddings, or of learnt keys and values, before every document.
    virtual_tokens: usize,
    prefix: Option<Prefix>,
    head: Option<Head>,
}

/// A loss with its parts.
#[derive(Debug)]
pub struct Loss {
    /// Mean over the labelled positions, with the graph of the backward pass.
    pub mean: Tensor<1>,
    /// Loss of each position, 0 where it has no label.
    pub losses: Vec<f32>,
    /// Labelled positions.
    pub counted: usize,
}

impl Model {
    /// A model with drawn weights; they depend on `config` and `seed` only.
    pub fn init(config: &Value, seed: u64, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        Self::build(config, &mut Drawn { seed }, precision, device)
    }

    /// The model that `config` describes, over weights from wherever. A config in the spelling of another time becomes one of today.
    pub fn build(
        config: &Value,
        weights: &mut dyn Weights,
        precision: Precision,
        device: &Device,
    ) -> Result<Self, ModelError> {
        let modern = chatglm::modern(config)?;
        let config = modern.as_ref().unwrap_or(config);
        let entry = entry_of(config)?;
        let dimensions = (entry.dimensions)(config)?;
        let mut builder = Builder::new(weights, precision, device);
        let network = (entry.build)(&body(config, entry.kind), &mut builder)?;
        let head = Head::build(config, (entry.kind, dimensions.width), &mut builder)?;
        let score =
            if is_scored(config, entry.kind) { Some(ScoreHead::build(dimensions.width, &mut builder)?) } else { None };
        Ok(Self {
            network,
            config: config.clone(),
            dimensions,
            kind: entry.kind,
            score,
            virtual_tokens: 0,
            prefix: None,
            head,
        })
    }

    /// Reads a Hugging Face folder.
    pub fn load(folder: &Path, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        let folder = ModelFolder::open(folder)?;
        let mut weights = Read::new(&folder);
        let model = Self::build(folder.config(), &mut weights, precision, device)?;
        weights.finish()?;
        Ok(model)
    }

    /// The model of `config` (see [`task_config`](crate::task_config)) with the weights of a Hugging Face folder as far as it
    /// has them, and drawn ones for the rest; and the names of those that were drawn, and that were not used.
    pub fn load_for(
        folder: &Path,
        config: &Value,
        seed: u64,
        (precision, device): (Precision, &Device),
    ) -> Result<(Self, [Vec<String>; 2]), ModelError> {
        let folder = ModelFolder::open(folder)?;
        let mut weights = ReadOrDrawn::new(&folder, seed);
        let model = Self::build(config, &mut weights, precision, device)?;
        Ok((model, weights.finish()))
    }

    /// Writes `config.json` and the weights, in f32, into a Hugging Face folder.
    pub fn save(&self, folder: &Path) -> Result<(), ModelError> {
        let mut tensors = Vec::new();
        self.visit_parameters(&mut |name, shape, _| tensors.push(TensorLayout::f32(name, shape)));
        let mut writer = ModelWriter::create(folder, &ModelPlan::new(&self.config, &tensors))?;
        let mut written = Ok(());
        self.visit_parameters(&mut |name, _, values| {
            if written.is_ok() {
                written = writer.write(name, f32_bytes(values));
            }
        });
        written?;
        Ok(writer.finish()?)
    }

    /// Logits `[b·t, vocabulary]` of `ids[b, t]`.
    pub fn forward(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        let x_ne = self.stream(ids, batch, pass);
        self.network.head(x_ne, pass)
    }

    /// [`Self::forward`], and the logits `[b, 2]` of the head that judges the two sentences of each row, where there is one: 0,
    /// the second follows the first (`BERT`), or both stand in their order (`ALBERT`).
    pub fn forward_pair(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> (Tensor<2>, Option<Tensor<2>>) {
        let x_ne = self.stream(ids, batch, pass);
        let sentences = self.network.sentence_head(&x_ne, batch);
        (self.network.head(x_ne, pass), sentences)
    }

    /// The same network that reads `count` tokens before every document, the ids behind its own: its embedding must have rows for them.
    #[must_use]
    pub fn with_virtual_tokens(self, count: usize) -> Self {
        Self { virtual_tokens: count, ..self }
    }

    /// The same network whose attention finds `tokens` positions of learnt keys and values before every document:
    /// `values[tokens, layers·2·g·d]` with g key heads of width d; for each block keys, then values. Not for encoder-decoders.
    #[must_use]
    pub fn with_prefix(self, values: Vec<f32>, tokens: usize, device: &Device) -> Self {
        let prefix = Prefix::new(values, tokens, &self.dimensions, device);
        Self { prefix: Some(prefix), virtual_tokens: tokens, ..self }
    }

    /// Tokens that it reads before every document, of learnt embeddings or of learnt keys and values.
    pub fn virtual_tokens(&self) -> usize {
        self.virtual_tokens
    }

    /// The residual stream of the tokens `ids[b, t]`, without that of virtual ones.
    fn stream(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        if self.virtual_tokens == 0 || pass.cache.as_ref().is_some_and(|cache| !cache.is_empty()) {
            return self.network.hidden(ids, batch, pass);
        }
        if let Some(prefix) = &self.prefix {
            let mut store = Prefixed::new(prefix, (ids.len(), batch), pass);
            let (segments, places) = (pass.segments, pass.places);
            let mut inner = Pass { segments, places, store: Some(&mut store), ..Pass::new(&mut *pass.observer) };
            return self.network.hidden(ids, 1, &mut inner);
        }
        let before = Before { count: self.virtual_tokens, first: self.dimensions.vocabulary };
        let all = Expanded::new(ids, batch, before, pass);
        let mut inner = Pass {
            starts: Some(&all.starts),
            ends: all.ends.as_deref(),
            segments: all.segments.as_deref(),
            places: all.places.as_deref(),
            tree: None,
            source: pass.source,
            cache: pass.cache.as_deref_mut(),
            store: None,
            observer: &mut *pass.observer,
        };
        ops::embedding(self.network.hidden(&all.ids, batch, &mut inner), all.real)
    }

    /// The residual stream that the head reads, `[b·t, e]`, of `ids[b, t]`.
    pub fn hidden(&self, ids: &[u32], batch: usize, pass: &mut Pass<'_>) -> Tensor<2> {
        self.stream(ids, batch, pass)
    }

    /// The log-probability of each label, `[b·t]`; 0 where the label is negative. For objectives that weigh tokens.
    pub fn log_probabilities(&self, ids: &[u32], labels: &[i32], batch: usize, starts: Option<&[u32]>) -> Tensor<1> {
        let mut observer = NoObserver;
        let mut pass = Pass { starts, ..Pass::new(&mut observer) };
        ops::token_losses(self.forward(ids, batch, &mut pass), labels.into()).neg()
    }

    /// The logits after the last of `ids`, which go on from what `cache` holds.
    pub fn last_logits(&self, ids: &[u32], cache: &mut Cache) -> Vec<f32> {
        self.last_logits_after(None, ids, cache)
    }

    /// [`Self::last_logits`] of an encoder-decoder: `source` is what it reads, needed once for a cache.
    pub fn last_logits_after(&self, source: Option<Source<'_>>, ids: &[u32], cache: &mut Cache) -> Vec<f32> {
        let mut observer = NoObserver;
        let mut pass = Pass { source, cache: Some(cache), ..Pass::new(&mut observer) };
        let x_ne = self.stream(ids, 1, &mut pass);
        let [n, e] = x_ne.dims();
        let logits = self.network.head(x_ne.slice([n - 1..n, 0..e]), &mut pass);
        logits.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: logits are f32")
    }

    /// The logits `[rows, vocabulary]` after those tokens `ids[n]` of several sequences that `rows` names, in its order; keys and
    /// values go by way of `store`.
    pub fn logits_at(&self, ids: &[u32], rows: &[u32], store: &mut dyn Store) -> Vec<f32> {
        let mut observer = NoObserver;
        let mut pass = Pass { store: Some(store), ..Pass::new(&mut observer) };
        let x_ne = self.stream(ids, 1, &mut pass);
        if rows.is_empty() {
            return Vec::new();
        }
        let logits = self.network.head(inkstone_nn::ops::embedding(x_ne, rows.into()), &mut pass);
        logits.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: logits are f32")
    }

    /// The mean over the tokens of what the head reads (`[e]`): a vector of the whole text.
    pub fn mean_hidden(&self, ids: &[u32]) -> Vec<f32> {
        let mut observer = NoObserver;
        let x_ne = self.stream(ids, 1, &mut Pass::new(&mut observer));
        let mean_e = x_ne.mean_dim(0);
        mean_e.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: activations are f32")
    }

    /// The loss of predicting `labels[b, t]` (negative: none) at `ids[b, t]`.
    pub fn loss(&self, ids: &[u32], labels: &[i32], batch: usize, starts: Option<&[u32]>) -> Loss {
        let mut observer = NoObserver;
        let mut pass = Pass { starts, ..Pass::new(&mut observer) };
        let x_ne = self.stream(ids, batch, &mut pass);
        let ops::CrossEntropy { mean, losses, counted } = match self.network.plain_head() {
            Some((w_ve, precision)) => ops::linear_cross_entropy(x_ne, w_ve, labels.into(), precision),
            None => ops::cross_entropy(self.network.head(x_ne, &mut pass), labels.into()),
        };
        Loss { mean, losses, counted }
    }

    /// The loss of saying `labels[b, t]` (negative: none) at `ids[b, t]`, in a pass of the caller's making; and that of the labels
    /// of each row's two sentences, where they are asked for and the model has a head for it (arXiv:1810.04805, section 3.1).
    /// `losses` are those of the labelled positions alone.
    pub fn loss_in(
        &self,
        ids: &[u32],
        (labels, sentences): (&[i32], &[i32]),
        batch: usize,
        pass: &mut Pass<'_>,
    ) -> Loss {
        let Said { logits, labels, judged } = self.said(ids, (labels, !sentences.is_empty()), batch, pass);
        let ops::CrossEntropy { mut mean, losses, counted } = ops::cross_entropy(logits, labels.into());
        if let Some(judged) = judged {
            mean = mean + ops::cross_entropy(judged, sentences.into()).mean;
        }
        Loss { mean, losses, counted }
    }

    /// What the model takes for likeliest where [`Self::loss_in`] asks it, each beside what is right: of tokens, and of sentences.
    pub fn guesses_in(
        &self,
        ids: &[u32],
        (labels, sentences): (&[i32], &[i32]),
        batch: usize,
        pass: &mut Pass<'_>,
    ) -> [Vec<(i32, i32)>; 2] {
        let Said { logits, labels, judged } = self.said(ids, (labels, !sentences.is_empty()), batch, pass);
        let beside = |logits, labels: &[i32]| {
            let guesses = likeliest(logits).into_iter().zip(labels.iter().copied());
            guesses.filter(|&(_, label)| label >= 0).collect()
        };
        let judged = judged.map_or_else(Vec::new, |judged| beside(judged, sentences));
        [beside(logits, &labels), judged]
    }

    /// The logits where something is to be said: the head is the costliest product. At least those of one position.
    fn said(&self, ids: &[u32], (labels, judge): (&[i32], bool), batch: usize, pass: &mut Pass<'_>) -> Said {
        let x_ne = self.stream(ids, batch, pass);
        let judged = if judge { self.network.sentence_head(&x_ne, batch) } else { None };
        let mut at: Vec<u32> = (0..labels.len() as u32).filter(|&n| labels[n as usize] >= 0).collect();
        if at.is_empty() {
            at.push(0);
        }
        let labels = at.iter().map(|&n| labels[n as usize]).collect();
        Said { logits: self.network.head(ops::embedding(x_ne, at.into()), pass), labels, judged }
    }

    /// The logits of the head for a task, of each row `[b, labels]` or of each token `[b·t, labels]`, where there is one;
    /// `lengths[b]` are the tokens of the rows without padding.
    pub fn task_logits(&self, ids: &[u32], lengths: &[u32], pass: &mut Pass<'_>) -> Option<Tensor<2>> {
        let x_ne = self.stream(ids, lengths.len(), pass);
        self.judged(x_ne, lengths)
    }

    /// [`Self::task_logits`], and the mean loss of the next token within the rows, by the head that the model has without one for a
    /// task: an auxiliary objective of tuning (Radford et al. 2018, section 3.2).
    pub fn task_logits_beside_text(
        &self,
        ids: &[u32],
        lengths: &[u32],
        pass: &mut Pass<'_>,
    ) -> Option<(Tensor<2>, Tensor<1>)> {
        let x_ne = self.stream(ids, lengths.len(), pass);
        let t = ids.len() / lengths.len().max(1);
        let has_next = |n: &u32| (*n as usize % t) + 1 < lengths[*n as usize / t] as usize;
        let at: Vec<u32> = (0..ids.len() as u32).filter(has_next).collect();
        let labels: Vec<i32> = at.iter().map(|&n| ids[n as usize + 1] as i32).collect();
        let logits = self.network.head(ops::embedding(x_ne.clone(), at.into()), pass);
        Some((self.judged(x_ne, lengths)?, ops::cross_entropy(logits, labels.into()).mean))
    }

    /// Whether the model is told where tokens stand in a dictionary ([`Tree`](crate::Tree)).
    pub fn reads_dictionaries(&self) -> bool {
        self.config["model_type"] == "cpmbee"
    }

    /// Whether the model says tokens by the table that it reads them with.
    pub fn says_by_embedding(&self) -> bool {
        self.config["tie_word_embeddings"].as_bool().unwrap_or(true)
    }

    /// What the head of a task makes of `x[b·t, e]`; a decoder's score is that of the last token.
    fn judged(&self, x_ne: Tensor<2>, lengths: &[u32]) -> Option<Tensor<2>> {
        if let Some(score) = &self.score {
            return Some(score.forward(last_tokens(x_ne, lengths)).unsqueeze_dim(1));
        }
        let head = self.head.as_ref()?;
        let pooled = self.network.pooled(&x_ne, lengths.len());
        Some(head.forward(x_ne, pooled, lengths))
    }

    /// What the decoder of an encoder-decoder begins with.
    pub fn start_token(&self) -> u32 {
        self.config["decoder_start_token_id"].as_u64().unwrap_or(0) as u32
    }

    /// This model with a head that scores each position, zeros at first: the form of a reward model.
    #[must_use]
    pub fn with_score(self, device: &Device) -> Self {
        let mut config = self.config.clone();
        config["architectures"] = serde_json::json!([scored_class(&config)]);
        config["num_labels"] = 1.into();
        let zeros = vec![0.0; self.dimensions.width];
        Self { score: Some(ScoreHead::new(zeros, self.dimensions.width, device)), config, ..self }
    }

    /// The network without the score, under the config that it had before.
    #[must_use]
    pub fn without_score(self, config: Value) -> Self {
        Self { score: None, config, ..self }
    }

    /// The score of each position of `ids[b, t]`, `[b·t]`, where the model has a head for it, and the log-probabilities of
    /// `labels` as [`Self::log_probabilities`] has them.
    pub fn scores_and_log_probabilities(
        &self,
        ids: &[u32],
        labels: &[i32],
        batch: usize,
    ) -> (Option<Tensor<1>>, Tensor<1>) {
        let mut observer = NoObserver;
        let mut pass = Pass::new(&mut observer);
        let x_ne = self.stream(ids, batch, &mut pass);
        let scores = self.score.as_ref().map(|score| score.forward(x_ne.clone()));
        (scores, ops::token_losses(self.network.head(x_ne, &mut pass), labels.into()).neg())
    }

    /// The score of each position of `ids[b, t]`, `[b·t]`; nothing without a head for it.
    pub fn scores(&self, ids: &[u32], batch: usize) -> Option<Tensor<1>> {
        let score = self.score.as_ref()?;
        let mut observer = NoObserver;
        Some(score.forward(self.stream(ids, batch, &mut Pass::new(&mut observer))))
    }

    /// An empty cache with room for `capacity` positions.
    pub fn cache(&self, capacity: usize) -> Cache {
        let Dimensions { layers, key_heads, head_width, .. } = self.dimensions;
        let mut cache = Cache::new(layers, key_heads * head_width, capacity + self.virtual_tokens);
        if let Some(prefix) = &self.prefix {
            prefix.fill(&mut cache, layers);
        }
        cache
    }

    /// The same weights without a graph, for evaluation.
    #[must_use]
    pub fn valid(&self) -> Self {
        let valid = self.with(self.network.valid());
        let (score, head) = (self.score.as_ref().map(Module::valid), self.head.as_ref().map(Module::valid));
        Self { score, head, prefix: self.prefix.as_ref().map(Module::valid), ..valid }
    }

    /// Shows every parameter by its Hugging Face name with shape and values, in a fixed order.
    pub fn visit_parameters(&self, visit: Visit<'_>) {
        self.network.visit_parameters(visit);
        if let Some(score) = &self.score {
            inkstone_nn::visit_parameters(score, visit);
        }
        if let Some(head) = &self.head {
            inkstone_nn::visit_parameters(head, visit);
        }
        if let Some(prefix) = &self.prefix {
            inkstone_nn::visit_parameters(prefix, visit);
        }
    }

    /// Hands out the gradient of every parameter that has one, in the same order.
    pub fn visit_gradients(&self, gradients: &mut Gradients, visit: VisitGradient<'_>) {
        self.network.visit_gradients(gradients, visit);
        if let Some(score) = &self.score {
            inkstone_nn::visit_gradients(score, gradients, visit);
        }
        if let Some(head) = &self.head {
            inkstone_nn::visit_gradients(head, gradients, visit);
        }
        if let Some(prefix) = &self.prefix {
            inkstone_nn::visit_gradients(prefix, gradients, visit);
        }
    }

    /// Changes every parameter in place, in the same order.
    #[must_use]
    pub fn update_parameters(self, update: Update<'_>) -> Self {
        let network = self.network.update_parameters(update);
        let score = self.score.map(|score| inkstone_nn::update_parameters(score, update));
        let head = self.head.map(|head| inkstone_nn::update_parameters(head, update));
        let prefix = self.prefix.map(|prefix| inkstone_nn::update_parameters(prefix, update));
        Self { network, score, prefix, head, ..self }
    }

    /// Trains the parameters whose names `keep` accepts, and no others: they get no gradient.
    #[must_use]
    pub fn train_only(self, keep: &dyn Fn(&str) -> bool) -> Self {
        Self { network: self.network.train_only(keep), ..self }
    }

    /// Shows those parameters that are trained, in the same order.
    pub fn visit_trainable(&self, visit: Visit<'_>) {
        self.network.visit_trainable(visit);
        if let Some(score) = &self.score {
            inkstone_nn::visit_trainable(score, visit);
        }
        if let Some(head) = &self.head {
            inkstone_nn::visit_trainable(head, visit);
        }
        if let Some(prefix) = &self.prefix {
            inkstone_nn::visit_trainable(prefix, visit);
        }
    }

    /// Changes those parameters in place that are trained, in the same order.
    #[must_use]
    pub fn update_trainable(self, update: Update<'_>) -> Self {
        let network = self.network.update_trainable(update);
        let score = self.score.map(|score| inkstone_nn::update_trainable(score, update));
        let head = self.head.map(|head| inkstone_nn::update_trainable(head, update));
        let prefix = self.prefix.map(|prefix| inkstone_nn::update_trainable(prefix, update));
        Self { network, score, prefix, head, ..self }
    }

    /// The model's `config.json`.
    pub fn config_json(&self) -> &Value {
        &self.config
    }

    /// What the model reads and what it predicts.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The model's sizes.
    pub fn dimensions(&self) -> &Dimensions {
        &self.dimensions
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> usize {
        self.dimensions.vocabulary
    }

    /// Longest sequence.
    pub fn context(&self) -> usize {
        self.dimensions.positions.saturating_sub(self.virtual_tokens)
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> u64 {
        cost::expected_parameters(&self.config).unwrap_or(0)
    }

    /// FLOPs of training on one token (forward and backward) with rows of `context` tokens.
    pub fn flops_per_token(&self, context: usize) -> f64 {
        cost::expected_flops_per_token(&self.config, context).unwrap_or(0.0)
    }

    fn with(&self, network: Box<dyn Network>) -> Self {
        Self {
            network,
            config: self.config.clone(),
            dimensions: self.dimensions.clone(),
            kind: self.kind,
            score: self.score.clone(),
            virtual_tokens: self.virtual_tokens,
            prefix: self.prefix.clone(),
            head: self.head.clone(),
        }
    }
}

/// Logits `[m, v]` of the m labelled positions with their labels, and those about the sentences of each row.
struct Said {
    logits: Tensor<2>,
    labels: Vec<i32>,
    judged: Option<Tensor<2>>,
}

/// The column of the largest number of each row; of equal ones the first.
pub fn likeliest(logits_nv: Tensor<2>) -> Vec<i32> {
    let [_, v] = logits_nv.dims();
    let values = logits_nv.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: logits are f32");
    let best = |row: &[f32]| (0..v).rev().max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(0) as i32;
    values.chunks_exact(v.max(1)).map(best).collect()
}

impl Clone for Model {
    fn clone(&self) -> Self {
        self.with(self.network.copy())
    }
}
