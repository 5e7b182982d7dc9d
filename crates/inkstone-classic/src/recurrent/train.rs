//! Truncated back-propagation through time over a text laid in columns, as in PyTorch's word language model.

use inkstone_kernels::{AdamW, adamw, add_scaled};
use serde::{Deserialize, Serialize};

use super::network::{Dropout, Network, State};
use super::tensors::Tensors;
use crate::{ClassicError, Result};

/// How the weights move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Against the gradient.
    Sgd,
    /// arXiv:1711.05101.
    AdamW,
}

/// How a network learns.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// Columns of the text that are read side by side.
    pub batch: usize,
    /// Steps in time that the gradient goes back.
    pub steps: usize,
    /// Passes over the text.
    pub epochs: u64,
    /// How the weights move.
    pub optimizer: Optimizer,
    /// Learning rate at the start. It falls to a quarter after each pass that does not lower the validation loss.
    pub learning_rate: f64,
    /// Longest gradient, longer ones are shortened; 0 for any.
    pub clip: f64,
    /// Share of units that are left out between layers.
    pub dropout: f32,
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Mean training loss in nats per token, with units left out.
    pub train_loss: f64,
    /// Mean validation loss, where there is a validation text.
    pub validation_loss: Option<f64>,
    /// The learning rate of this pass.
    pub learning_rate: f64,
}

/// What happens during a training.
pub trait Watch {
    /// So many tokens are learnt, the last ones with this loss; `false` stops.
    fn tokens(&mut self, done: u64, loss: f64) -> bool;
    /// A pass is over.
    fn epoch(&mut self, epoch: &Epoch);
}

/// A text in columns: `columns[b]` goes on where its last stretch ended.
struct Columns<'a> {
    text: &'a [u32],
    rows: usize,
    length: usize,
}

impl<'a> Columns<'a> {
    fn new(text: &'a [u32], rows: usize) -> Self {
        Self { text, rows, length: text.len() / rows }
    }

    /// Ids and labels of `steps` steps from `from` on, `[T·B]`.
    fn stretch(&self, from: usize, steps: usize) -> (Vec<u32>, Vec<i32>) {
        let steps = steps.min(self.length - 1 - from);
        let at = |t: usize| (0..self.rows).map(move |b| b * self.length + from + t);
        let ids = (0..steps).flat_map(at).map(|n| self.text[n]).collect();
        let labels = (0..steps).flat_map(at).map(|n| self.text[n + 1] as i32).collect();
        (ids, labels)
    }
}

/// Trains `network` and leaves it with the weights of the pass with the lowest validation loss (of the last one
/// without a validation text).
pub fn train(
    network: &mut Network,
    (text, validation): (&[u32], &[u32]),
    training: &Training,
    seed: u64,
    watch: &mut dyn Watch,
) -> Result<Vec<Epoch>> {
    check(text, training)?;
    let mut run = Run { training, seed, step: 0, grads: Tensors::zeros(&network.shape), moments: None };
    let (mut rate, mut best, mut epochs) = (training.learning_rate, None, Vec::new());
    for epoch in 1..=training.epochs {
        let train_loss = run.epoch(network, text, (rate, epoch), watch)?;
        let validation_loss = (validation.len() > 1).then(|| mean_loss(network, validation));
        let record = Epoch { epoch, train_loss, validation_loss, learning_rate: rate };
        watch.epoch(&record);
        epochs.push(record);
        match (validation_loss, &best) {
            (Some(loss), Some((lowest, _))) if loss >= *lowest => rate /= 4.0,
            (Some(loss), _) => best = Some((loss, network.weights.clone())),
            (None, _) => {}
        }
    }
    if let Some((_, weights)) = best {
        network.weights = weights;
    }
    Ok(epochs)
}

fn check(text: &[u32], training: &Training) -> Result<()> {
    if training.batch == 0 || training.steps == 0 {
        let field = if training.batch == 0 { "batch_size" } else { "context" };
        return Err(ClassicError::Setting { field, got: "0".to_owned(), expected: "at least 1".to_owned() });
    }
    if text.len() / training.batch < 2 {
        let found = format!("{} tokens for {} columns", text.len(), training.batch);
        return Err(ClassicError::TooLittle { found, expected: "at least two tokens for each column" });
    }
    Ok(())
}

/// Tokens of a text that are evaluated at once.
const STRETCH: usize = 256;

/// The mean loss (nats) of all tokens of `text` but the first.
pub fn mean_loss(network: &Network, text: &[u32]) -> f64 {
    let mut state = network.begin(1);
    let losses = stream(text).map(|(ids, labels)| total(&network.losses(ids, &labels, &mut state)));
    losses.sum::<f64>() / (text.len() - 1) as f64
}

/// A text in stretches: ids with their labels.
pub fn stream(text: &[u32]) -> impl Iterator<Item = (&[u32], Vec<i32>)> {
    let inputs = &text[..text.len().saturating_sub(1)];
    let labels = text.get(1..).unwrap_or_default();
    inputs
        .chunks(STRETCH)
        .zip(labels.chunks(STRETCH))
        .map(|(ids, labels)| (ids, labels.iter().map(|&label| label as i32).collect()))
}

fn total(losses: &[f32]) -> f64 {
    losses.iter().map(|&loss| f64::from(loss)).sum()
}

struct Run<'a> {
    training: &'a Training,
    seed: u64,
    step: u64,
    grads: Tensors,
    moments: Option<[Tensors; 2]>,
}

impl Run<'_> {
    fn epoch(
        &mut self,
        network: &mut Network,
        text: &[u32],
        (rate, epoch): (f64, u64),
        watch: &mut dyn Watch,
    ) -> Result<f64> {
        let columns = Columns::new(text, self.training.batch);
        let mut state = network.begin(self.training.batch);
        let (mut sum, mut tokens) = (0.0, 0);
        let before = (epoch - 1) * ((columns.length - 1) * columns.rows) as u64;
        for from in (0..columns.length - 1).step_by(self.training.steps) {
            let (ids, labels) = columns.stretch(from, self.training.steps);
            let loss = self.step(network, (&ids, &labels), &mut state, rate)?;
            sum += loss * ids.len() as f64;
            tokens += ids.len() as u64;
            if !watch.tokens(before + tokens, loss) {
                return Err(ClassicError::Interrupted);
            }
        }
        Ok(sum / tokens as f64)
    }

    fn step(&mut self, network: &mut Network, text: (&[u32], &[i32]), state: &mut State, rate: f64) -> Result<f64> {
        self.step += 1;
        let Training { dropout, clip, optimizer, .. } = *self.training;
        let dropout = Some(Dropout { rate: dropout, seed: self.seed, step: self.step });
        let losses = network.losses_and_grads(text, state, dropout, &mut self.grads);
        let loss = total(&losses) / losses.len() as f64;
        if !loss.is_finite() {
            return Err(ClassicError::NotFinite { step: self.step });
        }
        let norm = self.grads.norm();
        let scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        match optimizer {
            Optimizer::Sgd => descend(&mut network.weights, &self.grads, rate * scale),
            Optimizer::AdamW => self.adamw(network, rate, scale),
        }
        Ok(loss)
    }

    fn adamw(&mut self, network: &mut Network, rate: f64, scale: f64) {
        let hyper = AdamW {
            learning_rate: rate as f32,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            step: self.step,
            gradient_scale: scale as f32,
        };
        let shape = &network.shape;
        let [first, second] = self.moments.get_or_insert_with(|| [Tensors::zeros(shape), Tensors::zeros(shape)]);
        let moments = first.0.iter_mut().zip(&mut second.0);
        for ((weight, (first, second)), grad) in network.weights.0.iter_mut().zip(moments).zip(&self.grads.0) {
            adamw(&mut weight.values, &mut first.values, &mut second.values, &grad.values, &hyper);
        }
    }
}

/// A step of `rate` against the gradient.
pub fn descend(weights: &mut Tensors, grads: &Tensors, rate: f64) {
    for (weight, grad) in weights.0.iter_mut().zip(&grads.0) {
        add_scaled(&mut weight.values, &grad.values, -rate as f32);
    }
}
