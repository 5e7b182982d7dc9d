//! Group relative policy optimisation (arXiv:2402.03300, section 4.1): an answer is as good as it is better than the others to
//! the same prompt.

use super::rollout::Rollout;

/// Added to the deviation of a group.
const EPSILON: f64 = 1e-4;

/// `(r − mean) / (deviation + 10⁻⁴)` within each group, the same for all tokens of an answer.
pub fn advantages(rollouts: &mut [Rollout], group: usize) {
    for answers in rollouts.chunks_mut(group.max(1)) {
        let n = answers.len() as f64;
        let mean = answers.iter().map(|answer| answer.reward).sum::<f64>() / n;
        let squares = answers.iter().map(|answer| (answer.reward - mean).powi(2)).sum::<f64>();
        let deviation = (squares / (n - 1.0).max(1.0)).sqrt();
        for answer in answers {
            answer.fill(((answer.reward - mean) / (deviation + EPSILON)) as f32);
        }
    }
}
