//! What a training run will cost, measured on this machine before it starts.
//!
//! The time of a step is linear in the number of blocks, so a few steps of the same model with one
//! and with two blocks give that of any depth; the embedding, the head and the optimiser are in
//! the constant.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use inkstone_formats::FormatError;
use inkstone_formats::hf::ModelFolder;
use inkstone_models::Model;
use inkstone_recipe::{Estimate, Forecast, Machine};
use serde_json::Value;

use crate::config::TrainingConfig;
use crate::optimizer::Optimizer;

/// Steps that are timed, after one that is not.
const TIMED: usize = 5;
/// A probe of a block takes about this many FLOPs at most; longer batches are cut and scaled.
const PROBE_SECONDS: f64 = 0.6;

/// A metric that is known or foreseen of an input.
pub(crate) fn forecast(inputs: &BTreeMap<String, Forecast>, field: &str, metric: &str) -> Option<f64> {
    inputs.get(field)?.metrics.get(metric).copied()
}

/// The `config.json` of a base model that is cached, or the shape that its own estimate foresaw.
pub(crate) fn forecast_model(base: Option<&Forecast>) -> Option<Value> {
    let base = base?;
    if let Some(folder) = &base.folder {
        return config_json(folder).ok();
    }
    base.details.get(MODEL).cloned()
}

/// The `config.json` of a model folder.
pub(crate) fn config_json(folder: &Path) -> Result<Value, FormatError> {
    Ok(ModelFolder::open(folder)?.config().clone())
}

/// The detail of an estimate under which the `config.json` of the model stands.
const MODEL: &str = "model";

/// The cost of training `model` (a `config.json`) as `config` says.
pub(crate) fn estimate(
    model: &Value,
    config: &TrainingConfig,
    inputs: &BTreeMap<String, Forecast>,
    machine: &Machine,
) -> Estimate {
    let Ok(parameters) = inkstone_models::expected_parameters(model) else { return Estimate::default() };
    let dimensions = inkstone_models::dimensions(model).ok();
    let rows = (config.batch_size * config.context) as f64;
    let per_pass = forecast(inputs, "tokens", "train_tokens").map_or(1, |tokens| (tokens / rows).ceil() as u64);
    let steps = config.total_steps(per_pass);
    let tokens = steps * config.tokens_per_step();
    let flops_per_token = inkstone_models::expected_flops_per_token(model, config.context).unwrap_or(0.0);
    let step_seconds = measure_step(model, config, flops_per_token, machine);
    Estimate {
        parameters: Some(parameters),
        tokens: Some(tokens),
        flops: Some(flops_per_token * tokens as f64),
        seconds: step_seconds.map(|seconds| seconds * steps as f64 * validation_share(config, steps)),
        peak_bytes: inkstone_models::training_bytes(model, config.batch_size, config.context).ok(),
        bytes: Some(parameters * 4),
        metrics: dimensions.map(|sizes| ("vocab_size".to_owned(), sizes.vocabulary as f64)).into_iter().collect(),
        details: BTreeMap::from([(MODEL.to_owned(), model.clone())]),
    }
}

/// Forward passes on the validation split cost a third of a training batch each.
fn validation_share(config: &TrainingConfig, steps: u64) -> f64 {
    let evaluations = steps.checked_div(config.evaluate_every).unwrap_or(0) + 1;
    let batches = evaluations * config.evaluate_batches;
    1.0 + batches as f64 / 3.0 / (steps.max(1) * config.accumulate as u64) as f64
}

/// Seconds of one optimiser step.
fn measure_step(model: &Value, config: &TrainingConfig, flops_per_token: f64, machine: &Machine) -> Option<f64> {
    let layers = inkstone_models::dimensions(model).ok()?.layers as u64;
    let block_seconds = flops_per_token * config.context as f64 / layers as f64 / machine.flops_per_second.max(1e9);
    let rows = ((PROBE_SECONDS / block_seconds.max(1e-9)) as usize).clamp(1, config.batch_size);
    let seconds = |layers: u64| probe(model, layers, rows, config);
    let (one, two) = (seconds(1)?, seconds(2)?);
    let batch =
        (one.batch + (two.batch - one.batch).max(0.0) * (layers - 1) as f64) * (config.batch_size as f64 / rows as f64);
    let update = one.update + (two.update - one.update).max(0.0) * (layers - 1) as f64;
    Some(batch * config.accumulate as f64 + update)
}

/// Shortest seconds of the parts of a step: other work on the machine only ever adds to them.
struct StepSeconds {
    /// Forward and backward of one batch.
    batch: f64,
    /// Gradient norm and AdamW.
    update: f64,
}

fn probe(model: &Value, layers: u64, rows: usize, config: &TrainingConfig) -> Option<StepSeconds> {
    let shape = inkstone_models::with_layers(model, layers as usize).ok()?;
    let mut model = Model::init(&shape, 0, config.precision.into(), &inkstone_nn::training_device()).ok()?;
    let vocab_size = model.vocab_size() as u32;
    let ids: Vec<u32> =
        (0..(rows * config.context) as u32).map(|i| i.wrapping_mul(2_654_435_761) % vocab_size).collect();
    let labels: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let mut optimizer = Optimizer::new(&model, config.optimizer.clone());
    let (mut batch, mut update) = (Vec::new(), Vec::new());
    for _ in 0..=TIMED {
        let started = Instant::now();
        let loss = model.loss(&ids, &labels, rows, None);
        let mut gradients = loss.mean.backward();
        optimizer.accumulate(&model, &mut gradients, loss.counted);
        batch.push(started.elapsed().as_secs_f64());
        let started = Instant::now();
        let norm = optimizer.gradient_norm();
        model = optimizer.step(model, 0.0, norm, config.clip);
        update.push(started.elapsed().as_secs_f64());
    }
    Some(StepSeconds { batch: shortest(&batch[1..]), update: shortest(&update[1..]) })
}

fn shortest(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}
