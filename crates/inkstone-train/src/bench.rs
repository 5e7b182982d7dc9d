//! How fast this machine trains: steps on one batch of random tokens, which the model must learn.

use std::time::Instant;

use inkstone_kernels::profile;
use inkstone_models::Model;
use inkstone_nn::Precision;
use serde_json::Value;

use crate::TrainError;
use crate::objective::Objective;
use crate::optimizer::{Optimizer, OptimizerConfig};
use crate::peft::{PeftTable, Tuning};
use crate::preference::{Encoded, LossTable, Pair, Preferred, numbers};
use crate::stage::trainable;

/// What is measured.
#[derive(Debug, Clone)]
pub struct Workload {
    /// `config.json` of the model.
    pub model: Value,
    /// Precision of matrix products.
    pub precision: Precision,
    /// Train an adapter or a part of the weights instead of all.
    pub peft: Option<PeftTable>,
    /// Whether the first half of the rows is to be preferred to the second (`DPO`), rather than every token predicted.
    pub preferences: bool,
    /// Rows of a batch.
    pub batch: usize,
    /// Tokens of a row.
    pub context: usize,
    /// Steps that are not timed.
    pub warmup: usize,
    /// Steps that are timed.
    pub steps: usize,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Parameters of the model.
    pub parameters: u64,
    /// Parameters that are trained.
    pub trainable: u64,
    /// FLOPs of one step of training all.
    pub flops: f64,
    /// Wall seconds of each timed step.
    pub seconds: Vec<f64>,
    /// Loss of every step, the untimed ones included: a wrong gradient shows in it.
    pub losses: Vec<f64>,
}

/// Takes the steps; `report` hears of each.
pub fn bench(workload: &Workload, mut report: impl FnMut(usize)) -> Result<Measured, TrainError> {
    let device = inkstone_nn::training_device();
    let how = (workload.precision, &device);
    let mut model = Tuning::of(workload.peft.as_ref()).draw(&workload.model, how, 0)?;
    let trainable = trainable(&model);
    let tokens = workload.batch * workload.context;
    let vocab_size = model.vocab_size() as u32;
    let draw = |i: u32| (i.wrapping_mul(2_654_435_761) >> 7) % vocab_size;
    let ids: Vec<u32> = (0..tokens as u32).map(draw).collect();
    let labels: Vec<i32> = (1..=tokens as u32).map(|i| draw(i) as i32).collect();
    let pairs = workload.preferences.then(|| pairs(&model.valid(), &ids, workload.context));
    let mut optimizer = Optimizer::new(&model, optimizer_config());
    let (mut seconds, mut losses) = (Vec::new(), Vec::new());
    for step in 0..workload.warmup + workload.steps {
        let (started, _step) = (Instant::now(), profile::mark(crate::STEP));
        let loss = match &pairs {
            Some(pairs) => Preferred::new(&LossTable::dpo(), 0).loss(&model, pairs)?,
            None => model.loss(&ids, &labels, workload.batch, None),
        };
        losses.push(loss.losses.iter().map(|&x| f64::from(x)).sum::<f64>() / loss.counted as f64);
        let mut gradients = loss.mean.backward();
        optimizer.accumulate(&model, &mut gradients, loss.counted);
        let norm = optimizer.gradient_norm();
        model = optimizer.step(model, 3e-4, norm, 1.0);
        seconds.push(started.elapsed().as_secs_f64());
        report(step);
    }
    let flops = model.flops_per_token(workload.context) * tokens as f64;
    let seconds = seconds.split_off(workload.warmup.min(seconds.len()));
    Ok(Measured { parameters: model.n_parameters(), trainable, flops, seconds, losses })
}

/// Rows of `context` tokens as pairs, the first half of them chosen; the second half of each row is the answer. What the reference says of
/// them is computed once, as a stage does it.
fn pairs(reference: &Model, ids: &[u32], context: usize) -> Vec<Pair> {
    let row = |ids: &[u32]| {
        let labels = (1..=ids.len()).map(|at| match ids.get(at) {
            Some(&id) if at > ids.len() / 2 => id as i32,
            _ => -1,
        });
        let labels: Vec<i32> = labels.collect();
        let tokens = numbers(reference.log_probabilities(ids, &labels, 1, None));
        Encoded { ids: ids.to_vec(), reference: tokens.iter().map(|&x| f64::from(x)).sum(), labels }
    };
    let mut rows: Vec<Encoded> = ids.chunks_exact(context).map(row).collect();
    let rejected = rows.split_off(rows.len() / 2);
    let pair =
        |(chosen, rejected)| Pair { chosen: Some(chosen), rejected: Some(rejected), mismatched: None, margin: 0.0 };
    rows.into_iter().zip(rejected).map(pair).collect()
}

fn optimizer_config() -> OptimizerConfig {
    OptimizerConfig { learning_rate: 3e-4, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weight_decay: 0.1 }
}
