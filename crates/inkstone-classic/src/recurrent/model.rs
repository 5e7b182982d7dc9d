//! A recurrent model in its folder, and one token after another.

use std::path::Path;

use inkstone_formats::hf::{ModelFolder, write_model};
use inkstone_formats::safetensors::TensorView;
use serde_json::{Value, json};

use super::network::{Network, State};
use super::shape::Shape;
use super::tensors::Tensors;
use super::train::{descend, stream};
use crate::{ClassicError, Result};

/// The value of `model_type` in the `config.json` of these models.
pub const MODEL_TYPE: &str = "inkstone_recurrent";

/// Bytes of a weight file at most, as Hugging Face has it.
const SHARD_BYTES: u64 = 5_000_000_000;

impl Network {
    /// A network with drawn weights.
    pub fn drawn(shape: Shape, seed: u64) -> Result<Self> {
        shape.check()?;
        Ok(Self { weights: Tensors::drawn(&shape, seed), shape })
    }

    /// Whether a folder's `config.json` is that of a recurrent model.
    pub fn is_in(folder: &Path) -> bool {
        ModelFolder::read_config(folder).is_ok_and(|config| config["model_type"] == MODEL_TYPE)
    }

    /// Reads `config.json` and the weights.
    pub fn load(folder: &Path) -> Result<Self> {
        let opened = ModelFolder::open(folder)?;
        let mut config = opened.config().clone();
        if let Value::Object(fields) = &mut config {
            fields.retain(|key, _| key != "model_type");
        }
        let malformed = |what| ClassicError::Malformed { path: folder.join("config.json"), what };
        let shape: Shape = serde_json::from_value(config).map_err(|error| malformed(error.to_string()))?;
        shape.check()?;
        Ok(Self { weights: Tensors::read(&opened, folder, &shape)?, shape })
    }

    /// Writes `config.json` and the weights.
    pub fn save(&self, folder: &Path) -> Result<()> {
        let mut config = json!({"model_type": MODEL_TYPE});
        let shape = serde_json::to_value(&self.shape).expect("invariant: plain data");
        if let (Value::Object(config), Value::Object(shape)) = (&mut config, shape) {
            config.extend(shape);
        }
        let tensors: Vec<(String, TensorView<'_>)> =
            self.weights.0.iter().map(|t| (t.name.clone(), TensorView::f32(&t.shape, &t.values))).collect();
        write_model(folder, &config, None, &tensors, SHARD_BYTES)?;
        Ok(())
    }

    /// The loss (nats) of each token of `text` but the first. With `dynamic`, the weights move by so much
    /// against the gradient after each stretch (dynamic evaluation, Mikolov et al. 2010).
    pub fn stream_losses(
        &self,
        text: &[u32],
        dynamic: Option<f64>,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<f32>> {
        let mut network = self.clone();
        let mut grads = dynamic.map(|_| Tensors::zeros(&self.shape));
        let (mut state, mut losses) = (self.begin(1), Vec::new());
        for (ids, labels) in stream(text) {
            match (&mut grads, dynamic) {
                (Some(grads), Some(rate)) => {
                    losses.extend(network.losses_and_grads((ids, &labels), &mut state, None, grads));
                    descend(&mut network.weights, grads, rate);
                }
                _ => losses.extend(network.losses(ids, &labels, &mut state)),
            }
            if !progress(losses.len() as u64) {
                return Err(ClassicError::Interrupted);
            }
        }
        Ok(losses)
    }

    /// The logits after the last of `ids`; moves `state` on.
    pub fn last_logits(&self, ids: &[u32], state: &mut State) -> Vec<f32> {
        let mut logits = self.logits(ids, state);
        logits.split_off(logits.len().saturating_sub(self.shape.vocab_size))
    }
}
