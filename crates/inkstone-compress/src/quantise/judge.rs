//! How far a compressed model is from the one that it was made of.

use inkstone_models::{Model, NoObserver, Pass};
use rayon::prelude::*;

/// What two models make of one text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Judgement {
    /// Tokens predicted.
    pub tokens: u64,
    /// Mean negative log-likelihood of the original, in nats per token.
    pub loss_before: f64,
    /// That of the other model.
    pub loss_after: f64,
    /// Mean Kullback-Leibler divergence of the other's predictions from the original's, in nats per token.
    pub divergence: f64,
    /// Share of the tokens where both find the same token most likely.
    pub same_top: f64,
}

/// Reads `ids` with both models, in rows of `context` tokens that do not overlap. `progress` hears how many tokens of how many are done; when it answers
/// false the judgement is of what was read.
pub fn judge(
    (before, after): (&Model, &Model),
    (ids, context): (&[u32], usize),
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Judgement {
    let mut sum = Judgement::default();
    for row in ids.chunks(context.max(2)).filter(|row| row.len() > 1) {
        let (p, q) = (logits(before, row), logits(after, row));
        let vocabulary = p.len() / row.len();
        let positions = p.par_chunks(vocabulary).zip(q.par_chunks(vocabulary)).zip(&row[1..]);
        let parts: Vec<[f64; 4]> = positions.map(|((p, q), &next)| compare(p, q, next as usize)).collect();
        for [before, after, divergence, same] in parts {
            sum.tokens += 1;
            sum.loss_before += before;
            sum.loss_after += after;
            sum.divergence += divergence;
            sum.same_top += same;
        }
        if !progress(sum.tokens, ids.len() as u64) {
            break;
        }
    }
    let n = sum.tokens.max(1) as f64;
    let Judgement { tokens, loss_before, loss_after, divergence, same_top } = sum;
    Judgement {
        tokens,
        loss_before: loss_before / n,
        loss_after: loss_after / n,
        divergence: divergence / n,
        same_top: same_top / n,
    }
}

fn logits(model: &Model, row: &[u32]) -> Vec<f32> {
    let mut observer = NoObserver;
    let logits = model.forward(row, 1, &mut Pass::new(&mut observer));
    logits.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: logits are f32")
}

/// Both losses, the divergence, and 1 where the likeliest tokens are the same.
fn compare(p: &[f32], q: &[f32], next: usize) -> [f64; 4] {
    let (log_p, log_q) = (LogSoftmax::of(p), LogSoftmax::of(q));
    let term = |(&p, &q): (&f32, &f32)| {
        let (p, q) = (log_p.at(p), log_q.at(q));
        p.exp() * (p - q)
    };
    let divergence = p.iter().zip(q).map(term).sum::<f64>().max(0.0);
    [-log_p.at(p[next]), -log_q.at(q[next]), divergence, f64::from(u8::from(log_p.top == log_q.top))]
}

/// The logarithm of the sum that turns logits into log-probabilities, and the place of the largest.
struct LogSoftmax {
    log_sum: f64,
    top: usize,
}

impl LogSoftmax {
    fn of(logits: &[f32]) -> Self {
        let top = (0..logits.len()).fold(0, |top, n| if logits[n] > logits[top] { n } else { top });
        let most = f64::from(logits[top]);
        let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
        Self { log_sum: most + sum.ln(), top }
    }

    fn at(&self, logit: f32) -> f64 {
        f64::from(logit) - self.log_sum
    }
}
