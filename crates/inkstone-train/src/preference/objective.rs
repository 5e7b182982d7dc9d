//! The objective of a preference loss, over batches of pairs.

use std::sync::Mutex;

use burn::tensor::{Tensor, TensorData};
use inkstone_models::{Loss as ModelLoss, Model};
use inkstone_recipe::Context;
use inkstone_tokenizer::{Tokenizer, TokenizerError};

use super::data::{Encoded, Pair, Pairs, padded};
use super::loss::{Answers, LossTable};
use crate::TrainError;
use crate::objective::{Objective, ask};

/// A loss over pairs, and what it last saw.
pub(crate) struct Preferred<'a> {
    loss: &'a LossTable,
    pad: u32,
    seen: Mutex<Vec<(&'static str, f64)>>,
}

/// Rows of a reference pass.
const REFERENCE_ROWS: usize = 8;

impl<'a> Preferred<'a> {
    pub(crate) fn new(loss: &'a LossTable, pad: u32) -> Self {
        Self { loss, pad, seen: Mutex::default() }
    }

    fn answers(&self, model: &Model, rows: &[&Encoded]) -> Answers {
        let (ids, labels) = padded(rows, self.pad);
        let tokens = model.log_probabilities(&ids, &labels, rows.len(), None);
        let device = tokens.device();
        let vector = |values: Vec<f32>| {
            let n = values.len();
            Tensor::<1>::from_data(TensorData::new(values, [n]), &device)
        };
        let count = |row: &&Encoded| row.labels.iter().filter(|&&label| label >= 0).count() as f32;
        Answers {
            policy: tokens.reshape([rows.len() as i32, -1]).sum_dim(1).flatten::<1>(0, 1),
            reference: vector(rows.iter().map(|row| row.reference as f32).collect()),
            lengths: vector(rows.iter().map(count).collect()),
        }
    }

    fn remember(&self, chosen: &Answers, rejected: &Answers) {
        let loss = self.loss.loss();
        let mean = |answers: &Answers| {
            let rewards = numbers(loss.rewards(answers));
            let mean = rewards.iter().map(|&x| f64::from(x)).sum::<f64>() / rewards.len().max(1) as f64;
            (mean, rewards)
        };
        let ((good, goods), (bad, bads)) = (mean(chosen), mean(rejected));
        let mut seen = vec![("preference/chosen_reward", good), ("preference/rejected_reward", bad)];
        seen.push(("preference/margin", good - bad));
        if goods.len() == bads.len() {
            let right = goods.iter().zip(&bads).filter(|(good, bad)| good > bad).count();
            seen.push(("preference/accuracy", right as f64 / goods.len().max(1) as f64));
        }
        *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = seen;
    }
}

impl Objective<Vec<Pair>> for Preferred<'_> {
    fn loss(&self, model: &Model, batch: &Vec<Pair>) -> Result<ModelLoss, TrainError> {
        let loss = self.loss.loss();
        let sides: [Vec<&Encoded>; 3] = [
            batch.iter().filter_map(|pair| pair.chosen.as_ref()).collect(),
            batch.iter().filter_map(|pair| pair.rejected.as_ref()).collect(),
            batch.iter().filter_map(|pair| pair.mismatched.as_ref()).collect(),
        ];
        let rows: Vec<&Encoded> = sides.iter().flatten().copied().collect();
        let all = self.answers(model, &rows);
        let mut from = 0;
        let [chosen, rejected, mismatched] = sides.map(|side| {
            let range = from..from + side.len();
            from = range.end;
            let part = |tensor: &Tensor<1>| tensor.clone().slice([range.clone()]);
            Answers { policy: part(&all.policy), reference: part(&all.reference), lengths: part(&all.lengths) }
        });
        let each = loss.losses(&chosen, &rejected, &mismatched);
        self.remember(&chosen, &rejected);
        let losses = numbers(each.clone());
        Ok(ModelLoss { mean: each.mean(), counted: losses.len(), losses })
    }

    fn metrics(&self) -> Vec<(&'static str, f64)> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        ask(tokenizer, prompt)
    }
}

/// Computes every answer's log-probability under the reference, once.
pub(super) fn refer(pairs: &mut Pairs, model: &Model, pad: u32, context: &Context<'_>) -> Result<(), TrainError> {
    let bar = context.progress.task("reference", Some(pairs.pairs.len() as u64), "pairs");
    for (n, chunk) in pairs.pairs.chunks_mut(REFERENCE_ROWS).enumerate() {
        if context.interrupt.requested() {
            return Err(TrainError::Interrupted);
        }
        let mut rows: Vec<&mut Encoded> = chunk
            .iter_mut()
            .flat_map(|pair| [&mut pair.chosen, &mut pair.rejected, &mut pair.mismatched])
            .filter_map(Option::as_mut)
            .collect();
        let (ids, labels) = padded(&rows.iter().map(|row| &**row).collect::<Vec<_>>(), pad);
        let tokens = numbers(model.log_probabilities(&ids, &labels, rows.len(), None));
        let width = tokens.len() / rows.len().max(1);
        for (row, tokens) in rows.iter_mut().zip(tokens.chunks_exact(width.max(1))) {
            row.reference = tokens.iter().map(|&x| f64::from(x)).sum();
        }
        bar.set((n * REFERENCE_ROWS) as u64);
    }
    Ok(())
}

pub(crate) fn numbers(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: converted to f32")
}
