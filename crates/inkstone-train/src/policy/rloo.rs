//! `REINFORCE` leave-one-out (arXiv:2402.14740, section 3.3): the baseline of an answer is the mean of the others to its prompt.

use super::rollout::Rollout;

/// `r − mean of the others`, the same for all tokens of an answer; `r` is the reward less `kl` times the divergence of the
/// whole answer.
pub fn advantages(rollouts: &mut [Rollout], group: usize, kl: f64) {
    for answers in rollouts.chunks_mut(group.max(1)) {
        let total = |answer: &Rollout| answer.reward - kl * answer.divergence();
        let (n, sum) = (answers.len() as f64, answers.iter().map(total).sum::<f64>());
        for answer in answers {
            let own = total(answer);
            let others = if n > 1.0 { (sum - own) / (n - 1.0) } else { 0.0 };
            answer.fill((own - others) as f32);
        }
    }
}
