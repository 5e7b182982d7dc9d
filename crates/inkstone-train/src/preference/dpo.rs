//! Direct preference optimisation (arXiv:2305.18290).

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::loss::{Answers, Loss, default_beta, log_sigmoid};

/// `−log σ(β(Δ(chosen) − Δ(rejected)))`, Δ the log-ratio of policy and reference (equation 7).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dpo {
    /// β. Default 0.1.
    #[serde(default = "default_beta")]
    pub beta: f64,
    /// The share of preferences that is the wrong way round ("conservative `DPO`"). Default 0.
    #[serde(default)]
    pub label_smoothing: f64,
    /// Weight of the mean loss of the chosen answer's tokens, which keeps its probability from falling along with the other's
    /// (arXiv:2404.19733, equation 1). Default 0.
    #[serde(default)]
    pub sft_weight: f64,
}

impl Loss for Dpo {
    fn losses(&self, chosen: &Answers, rejected: &Answers, _: &Answers) -> Tensor<1> {
        let margin = (chosen.log_ratio() - rejected.log_ratio()) * self.beta;
        let right = log_sigmoid(margin.clone()) * -(1.0 - self.label_smoothing);
        let losses =
            if self.label_smoothing == 0.0 { right } else { right - log_sigmoid(margin.neg()) * self.label_smoothing };
        if self.sft_weight == 0.0 { losses } else { losses - chosen.per_token() * self.sft_weight }
    }

    fn rewards(&self, answers: &Answers) -> Tensor<1> {
        answers.log_ratio() * self.beta
    }
}
