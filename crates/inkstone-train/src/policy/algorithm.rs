//! Which algorithms there are, and what each is asked.

use serde::{Deserialize, Serialize};

use super::ppo::Ppo;
use super::rollout::Rollout;
use super::{grpo, rloo};

/// `algorithm = { method = "grpo" }` of a `policy` stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "lowercase", deny_unknown_fields)]
pub enum AlgorithmTable {
    /// Group relative policy optimisation (arXiv:2402.03300).
    Grpo,
    /// `REINFORCE` with the other answers as the baseline (arXiv:2402.14740).
    Rloo,
    /// Proximal policy optimisation with a value function (arXiv:1707.06347).
    Ppo(Ppo),
}

impl AlgorithmTable {
    /// What is wrong with the settings, if anything.
    pub fn validate(&self) -> Result<(), String> {
        match self {
            Self::Grpo | Self::Rloo => Ok(()),
            Self::Ppo(ppo) => ppo.validate(),
        }
    }

    /// The value function, where it has one.
    pub(super) fn critic(&self) -> Option<&Ppo> {
        match self {
            Self::Ppo(ppo) => Some(ppo),
            Self::Grpo | Self::Rloo => None,
        }
    }

    /// Whether the divergence from the reference is a part of the loss, or else of the reward.
    pub(super) fn penalises_in_loss(&self) -> bool {
        matches!(self, Self::Grpo)
    }

    /// Fills in the advantage of every token. Answers to the same prompt stand together, `group` of them; `kl` is the strength of
    /// the penalty for leaving the reference.
    pub(super) fn advantages(&self, rollouts: &mut [Rollout], group: usize, kl: f64) {
        match self {
            Self::Grpo => grpo::advantages(rollouts, group),
            Self::Rloo => rloo::advantages(rollouts, group, kl),
            Self::Ppo(ppo) => ppo.advantages(rollouts, group, kl),
        }
    }
}
