//! Odds ratio preference optimisation (arXiv:2403.07691): no reference.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::loss::{Answers, Loss, default_beta, log_sigmoid};

/// The loss of the chosen answer's tokens, and λ times `−log σ(log odds(chosen) − log odds(rejected))` (equations 6 and 7), with
/// `odds = p/(1 − p)` of the mean probability of a token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Orpo {
    /// λ. Default 0.1.
    #[serde(default = "default_beta")]
    pub lambda: f64,
}

impl Loss for Orpo {
    fn losses(&self, chosen: &Answers, rejected: &Answers, _: &Answers) -> Tensor<1> {
        let odds = log_odds(chosen) - log_odds(rejected);
        chosen.per_token().neg() - log_sigmoid(odds) * self.lambda
    }

    fn has_reference(&self) -> bool {
        false
    }

    fn rewards(&self, answers: &Answers) -> Tensor<1> {
        answers.per_token() * self.lambda
    }
}

fn log_odds(answers: &Answers) -> Tensor<1> {
    // An answer that is certain would have infinite odds.
    let log_p = answers.per_token().clamp_max(-1e-6);
    log_p.clone() - (log_p.exp().neg() + 1.0).log()
}
