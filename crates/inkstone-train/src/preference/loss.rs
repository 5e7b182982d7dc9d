//! What a loss of preferences is given, and which losses there are.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::{dpo, ipo, kto, orpo, simpo};

/// Answers of one side of a batch, `[k]` each.
#[derive(Debug, Clone)]
pub struct Answers {
    /// Their log-probabilities under the policy, with its graph.
    pub policy: Tensor<1>,
    /// Their log-probabilities under the reference.
    pub reference: Tensor<1>,
    /// Their lengths in tokens.
    pub lengths: Tensor<1>,
}

impl Answers {
    /// `log π(y|x) − log π_ref(y|x)`.
    pub fn log_ratio(&self) -> Tensor<1> {
        self.policy.clone() - self.reference.clone()
    }

    /// The mean log-probability of a token.
    pub fn per_token(&self) -> Tensor<1> {
        self.policy.clone() / self.lengths.clone()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.policy.dims()[0]
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A loss of preferences.
pub trait Loss: Send + Sync {
    /// The loss of each pair, or of each answer for a loss that knows no pairs. `mismatched` are answers beside prompts that
    /// they do not answer, for losses that ask for them.
    fn losses(&self, chosen: &Answers, rejected: &Answers, mismatched: &Answers) -> Tensor<1>;

    /// Whether it knows a reference.
    fn has_reference(&self) -> bool {
        true
    }

    /// Whether each record needs both answers.
    fn is_paired(&self) -> bool {
        true
    }

    /// How good the policy takes an answer to be: what the loss pulls apart.
    fn rewards(&self, answers: &Answers) -> Tensor<1>;
}

/// `loss = { method = "dpo", beta = 0.1 }` of a `preference` stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum LossTable {
    /// arXiv:2305.18290.
    Dpo(dpo::Dpo),
    /// arXiv:2310.12036.
    Ipo(ipo::Ipo),
    /// arXiv:2402.01306.
    Kto(kto::Kto),
    /// arXiv:2403.07691.
    Orpo(orpo::Orpo),
    /// arXiv:2405.14734.
    Simpo(simpo::SimPo),
}

impl LossTable {
    /// `DPO`, as a recipe that says no more has it.
    pub fn dpo() -> Self {
        Self::Dpo(dpo::Dpo { beta: default_beta(), label_smoothing: 0.0, sft_weight: 0.0 })
    }

    /// The loss.
    pub fn loss(&self) -> &dyn Loss {
        match self {
            Self::Dpo(loss) => loss,
            Self::Ipo(loss) => loss,
            Self::Kto(loss) => loss,
            Self::Orpo(loss) => loss,
            Self::Simpo(loss) => loss,
        }
    }

    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        let (name, value) = match self {
            Self::Dpo(loss) => ("beta", loss.beta),
            Self::Ipo(loss) => ("tau", loss.tau),
            Self::Kto(loss) => ("beta", loss.beta),
            Self::Orpo(loss) => ("lambda", loss.lambda),
            Self::Simpo(loss) => ("beta", loss.beta),
        };
        if let Self::Dpo(dpo) = self
            && !((0.0..0.5).contains(&dpo.label_smoothing) && dpo.sft_weight.is_finite() && dpo.sft_weight >= 0.0)
        {
            return Err("`loss` has a `label_smoothing` outside 0 to 0.5, or a negative `sft_weight`".into());
        }
        let good = value.is_finite() && value > 0.0;
        if good { Ok(()) } else { Err(format!("`loss.{name}` is {value}, expected more than 0")) }
    }
}

/// `log σ(x)`, without overflow on either side.
pub fn log_sigmoid(x: Tensor<1>) -> Tensor<1> {
    x.clone().clamp_max(0.0) - (x.abs().neg().exp() + 1.0).log()
}

/// Default strength of the pull towards the reference.
pub(super) fn default_beta() -> f64 {
    0.1
}
