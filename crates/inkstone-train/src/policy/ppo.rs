//! Proximal policy optimisation (arXiv:1707.06347) as `InstructGPT` used it (arXiv:2203.02155, section 3.5): a value for each
//! token, generalised advantage estimation, a penalty on each token for leaving the reference.

use serde::{Deserialize, Serialize};

use super::rollout::Rollout;

/// The settings of `PPO`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ppo {
    /// λ of generalised advantage estimation (arXiv:1506.02438). Default 0.95.
    #[serde(default = "lambda")]
    pub lambda: f64,
    /// γ. Default 1.
    #[serde(default = "crate::config::unit")]
    pub gamma: f64,
    /// Weight of the value function's loss. Default 0.1.
    #[serde(default = "tenth")]
    pub value_weight: f64,
    /// How far a value may move in an iteration. Default 0.2.
    #[serde(default = "fifth")]
    pub value_clip: f64,
    /// Whether advantages are brought to mean 0 and deviation 1 over all tokens of an iteration. Default true.
    #[serde(default = "crate::config::yes")]
    pub whiten: bool,
    /// Whether an answer's reward counts from the mean of the other answers to its prompt, as in `RLOO`. Where questions differ more
    /// in how hard they are than answers in how good, a value function that is learnt on the way is no baseline yet. Default false.
    #[serde(default)]
    pub leave_one_out: bool,
}

fn lambda() -> f64 {
    0.95
}

fn tenth() -> f64 {
    0.1
}

fn fifth() -> f64 {
    0.2
}

impl Ppo {
    pub(super) fn validate(&self) -> Result<(), String> {
        for (name, value) in [("lambda", self.lambda), ("gamma", self.gamma)] {
            if !(0.0..=1.0).contains(&value) {
                return Err(format!("`algorithm.{name}` is {value}, expected 0 to 1"));
            }
        }
        for (name, value) in [("value_weight", self.value_weight), ("value_clip", self.value_clip)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(format!("`algorithm.{name}` is {value}, expected 0 or more"));
            }
        }
        Ok(())
    }

    /// Advantages and returns of every token, from the values of the iteration's beginning. Answers to the same prompt stand
    /// together, `group` of them.
    pub fn advantages(&self, rollouts: &mut [Rollout], group: usize, kl: f64) {
        let baselines = if self.leave_one_out { others(rollouts, group) } else { vec![0.0; rollouts.len()] };
        for (rollout, baseline) in rollouts.iter_mut().zip(baselines) {
            self.estimate(rollout, rollout.reward - baseline, kl);
        }
        if self.whiten {
            whiten(rollouts);
        }
    }

    /// `A(t) = δ(t) + γλ·A(t + 1)`, `δ(t) = r(t) + γ·V(t + 1) − V(t)` (arXiv:1506.02438, equation 16); the answer's reward comes
    /// with its last token.
    fn estimate(&self, rollout: &mut Rollout, whole: f64, kl: f64) {
        let n = rollout.old.len();
        rollout.advantages = vec![0.0; n];
        rollout.returns = vec![0.0; n];
        let (mut advantage, mut next) = (0.0, 0.0);
        for t in (0..n).rev() {
            let penalty = kl * f64::from(rollout.old[t] - rollout.reference[t]);
            let reward = if t + 1 == n { whole - penalty } else { -penalty };
            let value = f64::from(rollout.values[t]);
            let delta = reward + self.gamma * next - value;
            advantage = delta + self.gamma * self.lambda * advantage;
            (rollout.advantages[t], rollout.returns[t]) = (advantage as f32, (advantage + value) as f32);
            next = value;
        }
    }
}

/// For each answer the mean reward of the others to its prompt; 0 where there are none.
fn others(rollouts: &[Rollout], group: usize) -> Vec<f64> {
    let of = |answers: &[Rollout]| -> Vec<f64> {
        let sum = answers.iter().map(|answer| answer.reward).sum::<f64>();
        let n = answers.len() as f64 - 1.0;
        answers.iter().map(|answer| if n > 0.0 { (sum - answer.reward) / n } else { 0.0 }).collect()
    };
    rollouts.chunks(group.max(1)).flat_map(of).collect()
}

/// Brings the advantages of all tokens to mean 0 and deviation 1.
fn whiten(rollouts: &mut [Rollout]) {
    let all = || rollouts.iter().flat_map(|rollout| &rollout.advantages).map(|&x| f64::from(x));
    let n = all().count().max(1) as f64;
    let mean = all().sum::<f64>() / n;
    let variance = all().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let scale = 1.0 / (variance + 1e-8).sqrt();
    for advantage in rollouts.iter_mut().flat_map(|rollout| &mut rollout.advantages) {
        *advantage = ((f64::from(*advantage) - mean) * scale) as f32;
    }
}
