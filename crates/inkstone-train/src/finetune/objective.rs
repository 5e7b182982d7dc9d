//! The loss of each task over a batch of its examples, and what the model takes for right.

use burn::tensor::{Tensor, TensorData};
use inkstone_models::{Loss, Model, NoObserver};
use inkstone_nn::ops;
use inkstone_tokenizer::{Tokenizer, TokenizerError};

use super::data::TaskBatch;
use super::task::{TaskTable, text_source};
use crate::TrainError;
use crate::objective::Objective;
use crate::objective::noised::Restore;

/// Learns a task from its examples.
pub(crate) struct Tuned<'a> {
    pub(crate) task: &'a TaskTable,
    /// The weight of the loss of the texts themselves.
    pub(crate) auxiliary: f64,
}

/// The logits of a task, ready for a cross-entropy against a batch's labels.
enum Judgement {
    /// `[m, labels]`.
    Labels(Tensor<2>),
    /// `[b]`.
    Numbers(Tensor<1>),
    /// The answer is text.
    Text,
}

impl Tuned<'_> {
    /// The logits, and the loss of the texts themselves where it has a weight.
    fn judge_beside_text(&self, model: &Model, batch: &TaskBatch) -> (Judgement, Option<Tensor<1>>) {
        let rows = &batch.rows;
        if self.auxiliary == 0.0 {
            return (self.judge(model, batch), None);
        }
        let both = rows.pass(&mut NoObserver, |pass| model.task_logits_beside_text(&rows.ids, &batch.lengths, pass));
        let (logits, text) = both.expect("invariant: the model was built with the head of the task");
        (self.judged(logits, batch), Some(text))
    }

    fn judge(&self, model: &Model, batch: &TaskBatch) -> Judgement {
        let rows = &batch.rows;
        if let TaskTable::Text { .. } | TaskTable::Dictionary {} = self.task {
            return Judgement::Text;
        }
        if let TaskTable::Embedding { temperature } = self.task {
            let x_ne = rows.pass(&mut NoObserver, |pass| model.hidden(&rows.ids, rows.batch_size, pass));
            return Judgement::Labels(similarities(x_ne, &batch.lengths) / *temperature as f32);
        }
        let logits = rows.pass(&mut NoObserver, |pass| model.task_logits(&rows.ids, &batch.lengths, pass));
        self.judged(logits.expect("invariant: the model was built with the head of the task"), batch)
    }

    /// What the rows' logits say of the examples.
    fn judged(&self, logits: Tensor<2>, batch: &TaskBatch) -> Judgement {
        let [n, labels] = logits.dims();
        match self.task {
            TaskTable::Classification { both_orders: true } => {
                let orders: Tensor<3> = logits.reshape([n / batch.choices, batch.choices, labels]);
                Judgement::Labels(orders.sum_dim(1).reshape([n / batch.choices, labels]))
            }
            TaskTable::Regression {} => Judgement::Numbers(logits.slice([0..n, 0..1]).flatten(0, 1)),
            TaskTable::MultipleChoice {} => Judgement::Labels(logits.reshape([n / batch.choices, batch.choices])),
            TaskTable::Extraction {} => {
                // [b·t, 2] → [2·b, t]: the beginnings of all rows, then their ends.
                let b = batch.rows.batch_size;
                Judgement::Labels(logits.transpose().reshape([2 * b, n / b]))
            }
            _ => Judgement::Labels(logits),
        }
    }

    /// Labels of the batch; of an embedding the number of each example, which its pair has as well.
    fn labels(&self, batch: &TaskBatch) -> Vec<i32> {
        match self.task {
            TaskTable::Embedding { .. } => (0..batch.lengths.len() as i32 / 2).collect(),
            _ => batch.labels.clone(),
        }
    }

    /// What the model takes for right, beside what is: labels.
    pub(crate) fn guesses(&self, model: &Model, batch: &TaskBatch) -> Vec<(i32, i32)> {
        match self.judge(model, batch) {
            Judgement::Labels(logits) => {
                let guesses = inkstone_models::likeliest(logits).into_iter().zip(self.labels(batch));
                guesses.filter(|&(_, label)| label >= 0).collect()
            }
            Judgement::Numbers(_) | Judgement::Text => Vec::new(),
        }
    }

    /// What the model takes for right, beside what is: numbers.
    pub(crate) fn numbers(&self, model: &Model, batch: &TaskBatch) -> Vec<(f64, f64)> {
        let Judgement::Numbers(numbers) = self.judge(model, batch) else { return Vec::new() };
        let numbers = numbers.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: numbers are f32");
        numbers.into_iter().map(f64::from).zip(batch.numbers.iter().map(|&x| f64::from(x))).collect()
    }
}

impl Objective<TaskBatch> for Tuned<'_> {
    fn loss(&self, model: &Model, batch: &TaskBatch) -> Result<Loss, TrainError> {
        let (judgement, text) = self.judge_beside_text(model, batch);
        let loss = match judgement {
            Judgement::Text => return Restore.loss(model, &batch.rows),
            Judgement::Labels(logits) => {
                let ops::CrossEntropy { mean, losses, counted } = ops::cross_entropy(logits, self.labels(batch).into());
                Loss { mean, losses, counted }
            }
            Judgement::Numbers(numbers) => {
                let n = batch.numbers.len();
                let right = Tensor::<1>::from_data(TensorData::new(batch.numbers.clone(), [n]), &numbers.device());
                let squares = (numbers - right).square();
                let losses =
                    squares.clone().into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: losses are f32");
                Loss { mean: squares.mean(), losses, counted: n }
            }
        };
        // The log tells the task's loss; what is learnt is the sum.
        Ok(match text {
            Some(text) => Loss { mean: loss.mean + text * self.auxiliary, ..loss },
            None => loss,
        })
    }

    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        let TaskTable::Text { prefix } = self.task else { return tokenizer.encode(prompt) };
        let answer = inkstone_corpus::examples::Answer::Text(String::new());
        let task = inkstone_corpus::examples::Task { text: prompt.to_owned(), pair: None, choices: Vec::new(), answer };
        let mut ids = tokenizer.encode(&text_source(prefix, &task))?;
        ids.extend(tokenizer.eos());
        Ok(ids)
    }
}

/// Cosines of the mean vectors of texts and pairs, `[b, b]`; rows of `x[2·b·t, e]` are in turn a text and its pair.
fn similarities(x_ne: Tensor<2>, lengths: &[u32]) -> Tensor<2> {
    let ([n, e], rows) = (x_ne.dims(), lengths.len());
    let t = n / rows.max(1);
    let shares = lengths
        .iter()
        .flat_map(|&length| (0..t).map(move |at| if (at as u32) < length { 1.0 / length.max(1) as f32 } else { 0.0 }));
    let shares = Tensor::<3>::from_data(TensorData::new(shares.collect::<Vec<f32>>(), [rows, t, 1]), &x_ne.device());
    let mean_re: Tensor<2> = (x_ne.reshape([rows, t, e]) * shares).sum_dim(1).reshape([rows, e]);
    let length_r1 = mean_re.clone().square().sum_dim(1).sqrt().clamp_min(1e-6);
    let unit: Tensor<3> = (mean_re / length_r1).reshape([rows / 2, 2, e]);
    let side = |n: usize| -> Tensor<2> { unit.clone().slice([0..rows / 2, n..n + 1, 0..e]).reshape([rows / 2, e]) };
    side(0).matmul(side(1).transpose())
}
