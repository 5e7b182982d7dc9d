//! Truncated back-propagation through time over a text laid in columns, as in PyTorch's word language model.

use std::path::Path;

use inkstone_formats::safetensors::TensorFile;
use inkstone_kernels::{AdamW, Precision, adamw, add_scaled};
use serde::{Deserialize, Serialize};

use super::checkpoint::Checkpoint;
use super::columns::{Columns, mean_loss, total};
use super::language_model::{Dropout, LanguageModel};
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
    /// In which matrix products are computed; weights and all else are in single precision.
    pub precision: Precision,
    /// Whether the tokens' vectors stay as they are.
    pub frozen_vectors: bool,
    /// Steps of the optimiser between checkpoints; 0 for none but on a stop.
    pub checkpoint_every: u64,
}

/// What is learnt, and where the training keeps itself.
#[derive(Debug, Clone, Copy)]
pub struct Lesson<'a> {
    /// Token ids.
    pub text: &'a [u32],
    /// Held-out token ids, may be empty.
    pub validation: &'a [u32],
    /// How.
    pub training: &'a Training,
    /// All draws depend on it.
    pub seed: u64,
    /// The folder of checkpoints, from the last of which a training goes on.
    pub state: Option<&'a Path>,
}

/// What a pass came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1.
    pub epoch: u64,
    /// Mean training loss in nats per token, with units left out.
    #[serde(with = "super::bits")]
    pub train_loss: f64,
    /// Mean validation loss, where there is a validation text.
    #[serde(with = "super::bits_option")]
    pub validation_loss: Option<f64>,
    /// The learning rate of this pass.
    #[serde(with = "super::bits")]
    pub learning_rate: f64,
}

/// What happens during a training.
pub trait Watch {
    /// So many tokens are learnt, the last ones with this loss; `false` stops.
    fn tokens(&mut self, done: u64, loss: f64) -> bool;
    /// A pass is over.
    fn epoch(&mut self, epoch: &Epoch);
    /// Something that the user should know.
    fn warn(&mut self, line: &str);
}

/// Trains `network` and leaves it with the weights of the pass with the lowest validation loss (of the last one
/// without a validation text). With a folder for checkpoints it goes on from the last of them.
pub fn train<M: LanguageModel>(network: &mut M, lesson: &Lesson<'_>, watch: &mut dyn Watch) -> Result<Vec<Epoch>> {
    check(lesson.text, lesson.training)?;
    network.set_precision(lesson.training.precision);
    let mut run = Run::begin(network, lesson, watch);
    while run.at.epochs.len() < lesson.training.epochs as usize {
        run.epoch(watch)?;
    }
    let Run { at, best, network, .. } = run;
    if let Some(best) = best {
        *network.weights_mut() = best;
    }
    Ok(at.epochs)
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

/// Where a training is, apart from its tensors.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Position<M: LanguageModel> {
    epochs: Vec<Epoch>,
    /// Where in its columns the running pass is.
    from: usize,
    step: u64,
    #[serde(with = "super::bits")]
    rate: f64,
    /// Nats of the running pass so far.
    #[serde(with = "super::bits")]
    sum: f64,
    #[serde(with = "super::bits_option")]
    lowest: Option<f64>,
    carried: M::State,
}

struct Run<'a, M: LanguageModel> {
    lesson: &'a Lesson<'a>,
    network: &'a mut M,
    at: Position<M>,
    grads: Tensors,
    moments: Option<[Tensors; 2]>,
    best: Option<Tensors>,
    checkpoint: Option<Checkpoint>,
}

impl<'a, M: LanguageModel> Run<'a, M> {
    fn begin(network: &'a mut M, lesson: &'a Lesson<'a>, watch: &mut dyn Watch) -> Self {
        let zeros = || Tensors::zeros(network.layout());
        let moments = (lesson.training.optimizer == Optimizer::AdamW).then(|| [zeros(), zeros()]);
        let rate = lesson.training.learning_rate;
        let carried = network.begin(lesson.training.batch);
        let at = Position { epochs: Vec::new(), from: 0, step: 0, rate, sum: 0.0, lowest: None, carried };
        let checkpoint = lesson.state.map(Checkpoint::new);
        let mut run = Self { grads: zeros(), lesson, network, at, moments, best: None, checkpoint };
        let saved = run.checkpoint.as_ref().and_then(|checkpoint| checkpoint.load(&mut |line| watch.warn(line)));
        if let Some((at, file)) = saved {
            run.restore(at, &file).unwrap_or_else(|error| watch.warn(&format!("{error}; starting anew")));
        }
        run
    }

    /// Goes back to what a checkpoint holds; changes nothing where it does not fit.
    fn restore(&mut self, at: Position<M>, file: &TensorFile) -> Result<()> {
        let read = |prefix: &str| -> Result<Tensors> {
            let mut tensors = Tensors::zeros(self.network.layout());
            for tensor in &mut tensors.0 {
                let values = file.f32(&format!("{prefix}{}", tensor.name))?;
                if values.len() != tensor.values.len() {
                    let what = format!("the tensor {prefix}{} has another size", tensor.name);
                    return Err(ClassicError::Malformed { path: file.path().to_owned(), what });
                }
                tensor.values = values;
            }
            Ok(tensors)
        };
        let weights = read("weight.")?;
        let moments =
            self.moments.is_some().then(|| Ok::<_, ClassicError>([read("first.")?, read("second.")?])).transpose()?;
        let best = at.lowest.is_some().then(|| read("best.")).transpose()?;
        *self.network.weights_mut() = weights;
        (self.moments, self.best, self.at) = (moments, best, at);
        Ok(())
    }

    fn save(&self) -> Result<()> {
        let Some(checkpoint) = &self.checkpoint else { return Ok(()) };
        let mut tensors = self.network.weights().views("weight.");
        tensors.extend(self.best.iter().flat_map(|best| best.views("best.")));
        if let Some([first, second]) = &self.moments {
            tensors.extend(first.views("first."));
            tensors.extend(second.views("second."));
        }
        checkpoint.save(self.at.step, &self.at, &tensors)
    }

    /// Runs the pass to its end from where it is.
    fn epoch(&mut self, watch: &mut dyn Watch) -> Result<()> {
        let Lesson { text, training, .. } = *self.lesson;
        let columns = Columns::new(text, training.batch);
        let whole = (columns.predicted() * columns.rows) as u64;
        let before = self.at.epochs.len() as u64 * whole;
        while self.at.from < columns.predicted() {
            let (ids, labels) = columns.stretch(self.at.from, training.steps);
            let loss = self.step(&ids, &labels)?;
            self.at.sum += loss * ids.len() as f64;
            self.at.from += ids.len() / columns.rows;
            let go_on = watch.tokens(before + (self.at.from * columns.rows) as u64, loss);
            let due = training.checkpoint_every > 0 && self.at.step.is_multiple_of(training.checkpoint_every);
            if due || !go_on {
                self.save()?;
            }
            if !go_on {
                return Err(ClassicError::Interrupted);
            }
        }
        self.finish_epoch(self.at.sum / whole as f64, watch);
        Ok(())
    }

    fn finish_epoch(&mut self, train_loss: f64, watch: &mut dyn Watch) {
        let validation = self.lesson.validation;
        let validation_loss = (validation.len() > 1).then(|| mean_loss(&*self.network, validation));
        let epoch = self.at.epochs.len() as u64 + 1;
        let record = Epoch { epoch, train_loss, validation_loss, learning_rate: self.at.rate };
        watch.epoch(&record);
        self.at.epochs.push(record);
        (self.at.from, self.at.sum) = (0, 0.0);
        self.at.carried = self.network.begin(self.lesson.training.batch);
        match (validation_loss, self.at.lowest) {
            (Some(loss), Some(lowest)) if loss >= lowest => self.at.rate /= 4.0,
            (Some(loss), _) => (self.at.lowest, self.best) = (Some(loss), Some(self.network.weights().clone())),
            (None, _) => {}
        }
    }

    fn step(&mut self, ids: &[u32], labels: &[i32]) -> Result<f64> {
        self.at.step += 1;
        let Training { dropout, clip, optimizer, frozen_vectors, .. } = *self.lesson.training;
        let dropout = Some(Dropout { rate: dropout, seed: self.lesson.seed, step: self.at.step });
        let losses = self.network.losses_and_grads((ids, labels), &mut self.at.carried, dropout, &mut self.grads);
        let loss = total(&losses) / losses.len() as f64;
        if !loss.is_finite() {
            return Err(ClassicError::NotFinite { step: self.at.step });
        }
        if frozen_vectors {
            self.grads.0[0].values.fill(0.0);
        }
        let scale = if clip > 0.0 { (clip / (self.grads.norm() + 1e-6)).min(1.0) } else { 1.0 };
        match optimizer {
            Optimizer::Sgd => descend(self.network.weights_mut(), &self.grads, self.at.rate * scale),
            Optimizer::AdamW => self.adamw(scale),
        }
        Ok(loss)
    }

    fn adamw(&mut self, scale: f64) {
        let hyper = AdamW {
            learning_rate: self.at.rate as f32,
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            step: self.at.step,
            gradient_scale: scale as f32,
        };
        let Some([first, second]) = &mut self.moments else { return };
        let moments = first.0.iter_mut().zip(&mut second.0);
        for ((weight, (first, second)), grad) in self.network.weights_mut().0.iter_mut().zip(moments).zip(&self.grads.0)
        {
            adamw(&mut weight.values, &mut first.values, &mut second.values, &grad.values, &hyper);
        }
    }
}

/// A step of `rate` against the gradient.
pub(crate) fn descend(weights: &mut Tensors, grads: &Tensors, rate: f64) {
    for (weight, grad) in weights.0.iter_mut().zip(&grads.0) {
        add_scaled(&mut weight.values, &grad.values, -rate as f32);
    }
}
