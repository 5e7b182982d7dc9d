//! What a network must provide to be trained, saved and asked.
//!
//! T steps, B rows, V tokens; row `t · B + b` of everything is step `t` of row `b`.

use std::path::Path;

use inkstone_formats::hf::{ModelFolder, write_model};
use inkstone_kernels::{Precision, cross_entropy};
use rayon::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::columns::stream;
use super::tensors::Tensors;
use super::train::descend;
use crate::random::{Draws, Purpose};
use crate::{ClassicError, Result};

/// Bytes of a weight file at most, as Hugging Face has it.
const SHARD_BYTES: u64 = 5_000_000_000;

/// The sizes of a network, which are its `config.json`.
pub trait Layout: Clone + PartialEq + Serialize + DeserializeOwned {
    /// The value of `model_type` in its `config.json`.
    const MODEL_TYPE: &'static str;

    /// Refuses sizes that can't be.
    fn check(&self) -> Result<()>;

    /// Names and dimensions of all tensors. The first is the table of the tokens' vectors.
    fn tensors(&self) -> Vec<(String, Vec<usize>)>;

    /// The weights of the tensor of this name are drawn from − to + this.
    fn bound(&self, name: &str) -> f32;

    /// Token ids.
    fn vocab_size(&self) -> usize;
}

/// Numbers in a tensor at most.
const MOST: usize = 1 << 31;

/// Refuses widths that can't be.
pub(crate) fn check_widths(widths: [(&'static str, usize); 3]) -> Result<()> {
    match widths.into_iter().find(|&(_, got)| got == 0 || got > 1 << 24) {
        Some((field, got)) => Err(refused(field, got, "from 1 to 16777216")),
        None => Ok(()),
    }
}

/// Refuses tensors that are too large.
pub(crate) fn check_tensors(layout: &impl Layout) -> Result<()> {
    match layout.tensors().iter().map(|(_, shape)| shape.iter().product()).find(|&size: &usize| size > MOST) {
        Some(size) => Err(refused("vocab_size", size, "such that no tensor has more than 2147483648 numbers")),
        None => Ok(()),
    }
}

/// A size that can't be.
pub(crate) fn refused(field: &'static str, got: usize, expected: &str) -> ClassicError {
    ClassicError::Setting { field, got: got.to_string(), expected: expected.to_owned() }
}

/// Units that are left out, between layers but not in time (arXiv:1409.2329).
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    /// Share that is left out.
    pub rate: f32,
    /// Draws depend on this and
    pub seed: u64,
    /// on the step of the training.
    pub step: u64,
}

/// A network that reads token ids and predicts the next one.
pub trait LanguageModel: Clone + Sync + Sized {
    /// Its sizes.
    type Layout: Layout;
    /// What it keeps of the text so far.
    type State: Clone + Serialize + DeserializeOwned;

    /// Of these weights, which are in the order of [`Layout::tensors`].
    fn new(layout: Self::Layout, weights: Tensors) -> Self;
    /// Its sizes.
    fn layout(&self) -> &Self::Layout;
    /// Its weights.
    fn weights(&self) -> &Tensors;
    /// Its weights, to be changed.
    fn weights_mut(&mut self) -> &mut Tensors;
    /// Computes matrix products in this precision from now on; single precision at first.
    fn set_precision(&mut self, precision: Precision);
    /// The state of `rows` texts before they begin.
    fn begin(&self, rows: usize) -> Self::State;
    /// The logits `[T·B, V]` after each of `ids[T·B]`; moves `state` on.
    fn logits(&self, ids: &[u32], state: &mut Self::State) -> Vec<f32>;
    /// The loss (nats) of each of `labels[T·B]` after `ids[T·B]`; moves `state` on, and sets `grads` to the gradient of their
    /// mean.
    fn losses_and_grads(
        &self,
        text: (&[u32], &[i32]),
        state: &mut Self::State,
        dropout: Option<Dropout>,
        grads: &mut Tensors,
    ) -> Vec<f32>;

    /// With drawn weights.
    fn drawn(layout: Self::Layout, seed: u64) -> Result<Self> {
        layout.check()?;
        let weights = Tensors::drawn(&layout, seed);
        Ok(Self::new(layout, weights))
    }

    /// The loss (nats) of each of `labels[T·B]` after `ids[T·B]`; moves `state` on.
    fn losses(&self, ids: &[u32], labels: &[i32], state: &mut Self::State) -> Vec<f32> {
        let logits = self.logits(ids, state);
        let mut losses = vec![0.0; ids.len()];
        cross_entropy(&logits, labels, &mut losses, self.layout().vocab_size());
        losses
    }

    /// The loss (nats) of each token of `text` but the first. With `dynamic`, the weights move by so much
    /// against the gradient after each stretch (dynamic evaluation, Mikolov et al. 2010).
    fn stream_losses(
        &self,
        text: &[u32],
        dynamic: Option<f64>,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<f32>> {
        let mut moving = dynamic.map(|rate| (self.clone(), Tensors::zeros(self.layout()), rate));
        let (mut state, mut losses) = (self.begin(1), Vec::new());
        for (ids, labels) in stream(text) {
            match &mut moving {
                Some((network, grads, rate)) => {
                    losses.extend(network.losses_and_grads((ids, &labels), &mut state, None, grads));
                    descend(network.weights_mut(), grads, *rate);
                }
                None => losses.extend(self.losses(ids, &labels, &mut state)),
            }
            if !progress(losses.len() as u64) {
                return Err(ClassicError::Interrupted);
            }
        }
        Ok(losses)
    }

    /// Whether a folder's `config.json` is that of such a network.
    fn is_in(folder: &Path) -> bool {
        ModelFolder::read_config(folder).is_ok_and(|config| config["model_type"] == Self::Layout::MODEL_TYPE)
    }

    /// Reads `config.json` and the weights.
    fn load(folder: &Path) -> Result<Self> {
        let opened = ModelFolder::open(folder)?;
        let mut config = opened.config().clone();
        if let Value::Object(fields) = &mut config {
            fields.retain(|key, _| key != "model_type");
        }
        let malformed = |what| ClassicError::Malformed { path: folder.join("config.json"), what };
        let layout: Self::Layout = serde_json::from_value(config).map_err(|error| malformed(error.to_string()))?;
        layout.check()?;
        let weights = Tensors::read(&opened, folder, &layout)?;
        Ok(Self::new(layout, weights))
    }

    /// Writes `config.json` and the weights.
    fn save(&self, folder: &Path) -> Result<()> {
        let mut config = json!({"model_type": Self::Layout::MODEL_TYPE});
        let layout = serde_json::to_value(self.layout()).expect("invariant: plain data");
        if let (Value::Object(config), Value::Object(layout)) = (&mut config, layout) {
            config.extend(layout);
        }
        Ok(write_model(folder, &config, None, &self.weights().views(""), SHARD_BYTES)?)
    }
}

/// Numbers whose draws come from one stream.
const STREAM: usize = 1 << 12;

/// Sets a share of the numbers to 0 and scales the others up; the same numbers at every call with the same
/// step and place, so that the way back needs no mask.
pub fn leave_out(x: &mut [f32], dropout: Option<Dropout>, place: usize) {
    let Some(Dropout { rate, seed, step }) = dropout.filter(|dropout| dropout.rate > 0.0) else { return };
    let (threshold, scale) = ((f64::from(rate) * 2f64.powi(32)) as u64, 1.0 / (1.0 - rate));
    x.par_chunks_mut(STREAM).enumerate().for_each(|(n, x)| {
        let mut draws = Draws::new(seed, Purpose::Dropout, step << 32 | (place as u64) << 24 | n as u64);
        for x in x {
            *x *= if draws.next() >> 32 < threshold { 0.0 } else { scale };
        }
    });
}
