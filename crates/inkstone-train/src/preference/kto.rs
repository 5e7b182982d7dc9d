//! Kahneman-Tversky optimisation (arXiv:2402.01306): answers that are wanted or not, without pairs.

use burn::tensor::{Tensor, activation::sigmoid};
use serde::{Deserialize, Serialize};

use super::loss::{Answers, Loss, default_beta};

/// `λ(1 − σ(β(Δ − z)))` for answers that are wanted, `λ(1 − σ(β(z − Δ)))` for others (equation 8); z, the divergence from the
/// reference, is measured on answers beside prompts that they do not answer, and is no part of the graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kto {
    /// β. Default 0.1.
    #[serde(default = "default_beta")]
    pub beta: f64,
    /// λ of answers that are wanted. Default 1.
    #[serde(default = "crate::config::unit")]
    pub desirable: f64,
    /// λ of answers that are not. Default 1.
    #[serde(default = "crate::config::unit")]
    pub undesirable: f64,
}

impl Kto {
    fn divergence(mismatched: &Answers) -> Option<Tensor<1>> {
        (!mismatched.is_empty()).then(|| mismatched.log_ratio().mean().clamp_min(0.0).detach())
    }
}

impl Loss for Kto {
    fn losses(&self, chosen: &Answers, rejected: &Answers, mismatched: &Answers) -> Tensor<1> {
        let z = Self::divergence(mismatched);
        let above = |answers: &Answers| match &z {
            Some(z) => answers.log_ratio() - z.clone(),
            None => answers.log_ratio(),
        };
        let losses = |gain: Tensor<1>, weight: f64| (sigmoid(gain * self.beta).neg() + 1.0) * weight;
        let sides = [(chosen, 1.0, self.desirable), (rejected, -1.0, self.undesirable)];
        let each = sides.into_iter().filter(|(answers, ..)| !answers.is_empty());
        Tensor::cat(each.map(|(answers, sign, weight)| losses(above(answers) * sign, weight)).collect(), 0)
    }

    fn is_paired(&self) -> bool {
        false
    }

    fn rewards(&self, answers: &Answers) -> Tensor<1> {
        answers.log_ratio() * self.beta
    }
}
