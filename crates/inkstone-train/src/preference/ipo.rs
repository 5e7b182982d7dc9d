//! Identity preference optimisation (arXiv:2310.12036).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::loss::{Answers, Loss, default_beta};

/// `(Δ(chosen) − Δ(rejected) − 1/(2τ))²` (equation 17), Δ the log-ratio of policy and reference for a token on average, as the
/// authors meant it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ipo {
    /// τ. Default 0.1.
    #[serde(default = "default_beta")]
    pub tau: f64,
}

impl Loss for Ipo {
    fn losses(&self, chosen: &Answers, rejected: &Answers, _: &Answers) -> Tensor<1> {
        let mean = |answers: &Answers| answers.log_ratio() / answers.lengths.clone();
        let off = mean(chosen) - mean(rejected) - 1.0 / (2.0 * self.tau);
        off.clone() * off
    }

    fn rewards(&self, answers: &Answers) -> Tensor<1> {
        answers.log_ratio() * self.tau
    }
}
