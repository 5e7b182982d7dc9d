//! The loss of pairs of scores.

use burn::tensor::{Int, Tensor, TensorData};
use inkstone_models::{Loss, Model};
use inkstone_tokenizer::{Tokenizer, TokenizerError};

use crate::TrainError;
use crate::objective::{Objective, ask};
use crate::preference::{Encoded, Pair, log_sigmoid, numbers, padded};

/// `−log σ(chosen − rejected − margin)` of each pair, `[k]` (arXiv:2203.02155, equation 1; the margin: arXiv:2307.09288,
/// equation 2).
pub fn pair_losses(chosen: Tensor<1>, rejected: Tensor<1>, margins: Tensor<1>) -> Tensor<1> {
    log_sigmoid(chosen - rejected - margins).neg()
}

/// Pairs, the better answer of which is to score higher.
pub(super) struct Scored {
    pub(super) pad: u32,
}

/// For each row of a batch of width `width` the position that has read the whole answer.
fn last_positions(rows: &[&Encoded], width: usize) -> Vec<usize> {
    let last = |row: &&Encoded| row.labels.iter().rposition(|&label| label >= 0).unwrap_or(0);
    rows.iter().enumerate().map(|(n, row)| n * width + last(row)).collect()
}

/// The score of the answer of each row, `[k]`; nothing for a model without a head for it.
pub(crate) fn scores(model: &Model, rows: &[&Encoded], pad: u32) -> Option<Tensor<1>> {
    let (ids, _) = padded(rows, pad);
    let all = model.scores(&ids, rows.len())?;
    let last: Vec<i32> = last_positions(rows, ids.len() / rows.len().max(1)).into_iter().map(|at| at as i32).collect();
    let (n, device) = (last.len(), all.device());
    Some(all.select(0, Tensor::<1, Int>::from_data(TensorData::new(last, [n]), &device)))
}

/// Both sides of pairs, the chosen first.
pub(super) fn sides(pairs: &[Pair]) -> Vec<&Encoded> {
    let chosen = pairs.iter().filter_map(|pair| pair.chosen.as_ref());
    chosen.chain(pairs.iter().filter_map(|pair| pair.rejected.as_ref())).collect()
}

impl Objective<Vec<Pair>> for Scored {
    fn loss(&self, model: &Model, pairs: &Vec<Pair>) -> Result<Loss, TrainError> {
        let k = pairs.len();
        let scores = scores(model, &sides(pairs), self.pad).expect("invariant: a reward model has a score");
        let margins: Vec<f32> = pairs.iter().map(|pair| pair.margin as f32).collect();
        let margins = Tensor::from_data(TensorData::new(margins, [k]), &scores.device());
        let [chosen, rejected] = [0, k].map(|from| scores.clone().narrow(0, from, k));
        let each = pair_losses(chosen, rejected, margins);
        let losses = numbers(each.clone());
        Ok(Loss { mean: each.mean(), counted: k, losses })
    }

    fn prompt(&self, tokenizer: &Tokenizer, prompt: &str) -> Result<Vec<u32>, TokenizerError> {
        ask(tokenizer, prompt)
    }
}
