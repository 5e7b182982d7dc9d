//! The registry: every architecture under one type.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Gradients, Tensor};
use inkstone_formats::hf::{ModelFolder, ModelPlan, ModelWriter};
use inkstone_formats::safetensors::{TensorLayout, f32_bytes};
use inkstone_nn::{Gradient, Precision, ops};
use serde_json::Value;

use crate::llama::{self, Llama};
use crate::pass::{Cache, NoObserver, Pass};
use crate::weights::{Drawn, Read, Weights};
use crate::{ModelError, cost};

/// Values of `model_type` that are implemented.
const KNOWN: &[&str] = &["llama"];

/// A language model of any architecture, with the `config.json` that it came with.
#[derive(Debug, Clone)]
pub struct Model {
    architecture: Architecture,
    config: Value,
}

/// One line for each architecture.
#[derive(Debug, Clone)]
enum Architecture {
    Llama(Box<Llama>),
}

/// What is done with each parameter: its name, its shape, its values.
type Visit<'a> = &'a mut dyn FnMut(&str, &[usize], &[f32]);

/// What is done to each parameter: its name, its shape, its values.
type Update<'a> = &'a mut dyn FnMut(&str, &[usize], &mut [f32]);

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
        build(config, &mut Drawn { seed }, precision, device)
    }

    /// Reads a Hugging Face folder.
    pub fn load(folder: &Path, precision: Precision, device: &Device) -> Result<Self, ModelError> {
        let folder = ModelFolder::open(folder)?;
        let mut weights = Read::new(&folder);
        let model = build(folder.config(), &mut weights, precision, device)?;
        // A tied head is stored by some programs all the same.
        weights.finish(if model.ties_head() { &["lm_head.weight"] } else { &[] })?;
        Ok(model)
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
        match &self.architecture {
            Architecture::Llama(model) => model.forward(ids, batch, pass),
        }
    }

    /// The logits after the last of `ids`, which go on from what `cache` holds.
    pub fn last_logits(&self, ids: &[u32], cache: &mut Cache) -> Vec<f32> {
        let mut pass = Pass { starts: None, cache: Some(cache), observer: &mut NoObserver };
        let logits = match &self.architecture {
            Architecture::Llama(model) => {
                let x_ne = model.hidden(ids, 1, &mut pass);
                let [n, e] = x_ne.dims();
                model.head(x_ne.slice([n - 1..n, 0..e]), &mut pass)
            }
        };
        logits.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: logits are f32")
    }

    /// The loss of predicting `labels[b, t]` (negative: none) at `ids[b, t]`.
    pub fn loss(&self, ids: &[u32], labels: &[i32], batch: usize, starts: Option<&[u32]>) -> Loss {
        let mut pass = Pass { starts, cache: None, observer: &mut NoObserver };
        let logits = self.forward(ids, batch, &mut pass);
        let ops::CrossEntropy { mean, losses, counted } = ops::cross_entropy(logits, labels.into());
        Loss { mean, losses, counted }
    }

    /// An empty cache with room for `capacity` positions.
    pub fn cache(&self, capacity: usize) -> Cache {
        match &self.architecture {
            Architecture::Llama(model) => model.cache(capacity),
        }
    }

    /// The same weights without a graph, for evaluation.
    #[must_use]
    pub fn valid(&self) -> Self {
        let architecture = match &self.architecture {
            Architecture::Llama(model) => Architecture::Llama(Box::new(model.valid())),
        };
        Self { architecture, config: self.config.clone() }
    }

    /// Shows every parameter by its Hugging Face name with shape and values, in a fixed order.
    pub fn visit_parameters(&self, visit: Visit<'_>) {
        match &self.architecture {
            Architecture::Llama(model) => inkstone_nn::visit_parameters(model.as_ref(), visit),
        }
    }

    /// Hands out the gradient of every parameter that has one, in the same order.
    pub fn visit_gradients(&self, gradients: &mut Gradients, visit: &mut dyn FnMut(&str, Gradient)) {
        match &self.architecture {
            Architecture::Llama(model) => inkstone_nn::visit_gradients(model.as_ref(), gradients, visit),
        }
    }

    /// Changes every parameter in place, in the same order.
    #[must_use]
    pub fn update_parameters(self, update: Update<'_>) -> Self {
        let architecture = match self.architecture {
            Architecture::Llama(model) => Architecture::Llama(Box::new(inkstone_nn::update_parameters(*model, update))),
        };
        Self { architecture, config: self.config }
    }

    /// The model's `config.json`.
    pub fn config_json(&self) -> &Value {
        &self.config
    }

    /// Number of token ids.
    pub fn vocab_size(&self) -> usize {
        self.llama_config().vocab_size
    }

    /// Longest sequence.
    pub fn context(&self) -> usize {
        self.llama_config().max_position_embeddings
    }

    /// Number of parameters.
    pub fn n_parameters(&self) -> u64 {
        cost::expected_parameters(&self.config).unwrap_or(0)
    }

    /// FLOPs of training on one token (forward and backward) with rows of `context` tokens.
    pub fn flops_per_token(&self, context: usize) -> f64 {
        self.llama_config().flops_per_token(context)
    }

    fn ties_head(&self) -> bool {
        self.llama_config().tie_word_embeddings
    }

    fn llama_config(&self) -> &llama::Config {
        let Architecture::Llama(model) = &self.architecture;
        model.config()
    }
}

fn build(
    config: &Value,
    weights: &mut dyn Weights,
    precision: Precision,
    device: &Device,
) -> Result<Model, ModelError> {
    let kind = config.get("model_type").and_then(Value::as_str).unwrap_or("missing");
    let architecture = match kind {
        "llama" => {
            Architecture::Llama(Box::new(Llama::new(llama::Config::from_json(config)?, weights, precision, device)?))
        }
        got => return Err(ModelError::Architecture { got: got.to_owned(), known: KNOWN }),
    };
    Ok(Model { architecture, config: config.clone() })
}
