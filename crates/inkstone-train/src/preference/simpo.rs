//! Simple preference optimisation (arXiv:2405.14734): no reference, lengths taken out.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::loss::{Answers, Loss, log_sigmoid};

/// `−log σ(β(p(chosen) − p(rejected)) − γ)`, p the mean log-probability of a token (equation 6).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimPo {
    /// β. Default 2.
    #[serde(default = "two")]
    pub beta: f64,
    /// γ, the margin that is asked for. Default 0.5.
    #[serde(default = "half")]
    pub gamma: f64,
}

fn two() -> f64 {
    2.0
}

fn half() -> f64 {
    0.5
}

impl Loss for SimPo {
    fn losses(&self, chosen: &Answers, rejected: &Answers, _: &Answers) -> Tensor<1> {
        log_sigmoid((chosen.per_token() - rejected.per_token()) * self.beta - self.gamma).neg()
    }

    fn has_reference(&self) -> bool {
        false
    }

    fn rewards(&self, answers: &Answers) -> Tensor<1> {
        answers.per_token() * self.beta
    }
}
