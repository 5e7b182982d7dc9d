//! The clipped objective (arXiv:1707.06347, equation 7), with the penalty on leaving the reference.

use burn::tensor::Tensor;

/// What is known of the tokens of some answers, `[k, t]` each; 0 where there is none.
pub struct Tokens {
    /// Log-probabilities now, with their graph.
    pub now: Tensor<2>,
    /// Log-probabilities when they were said.
    pub old: Tensor<2>,
    /// Log-probabilities under the reference.
    pub reference: Tensor<2>,
    /// How much better than expected they were.
    pub advantages: Tensor<2>,
    /// 1 where there is a token.
    pub mask: Tensor<2>,
}

impl Tokens {
    /// The loss of each answer, a mean over its tokens, `[k]`: `−min(ρA, clip(ρ, 1 ± ε)A)`, and `kl` times the estimate of the
    /// divergence that is never negative, `e^d − d − 1` with `d = log π_ref − log π` (arXiv:2402.03300, equation 4).
    pub fn losses(&self, clip: f64, kl: f64) -> Tensor<1> {
        let ratio = (self.now.clone() - self.old.clone()).exp();
        let clipped = ratio.clone().clamp(1.0 - clip, 1.0 + clip) * self.advantages.clone();
        let mut each = (ratio * self.advantages.clone()).min_pair(clipped).neg();
        if kl != 0.0 {
            each = each + self.divergence() * kl;
        }
        self.mean(each)
    }

    /// `e^d − d − 1`.
    pub fn divergence(&self) -> Tensor<2> {
        let d = self.reference.clone() - self.now.clone();
        d.clone().exp() - d - 1.0
    }

    /// The share of tokens whose ratio is beyond the clip, so that they pull no further.
    pub fn clipped(&self, clip: f64) -> f64 {
        let numbers =
            |tensor: Tensor<2>| tensor.into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: converted to f32");
        let ratio = numbers((self.now.clone().detach() - self.old.clone()).exp());
        let (mask, advantages) = (numbers(self.mask.clone()), numbers(self.advantages.clone()));
        let beyond = |ratio: f32, advantage: f32| {
            let off = f64::from(ratio) - 1.0;
            (off > clip && advantage > 0.0) || (off < -clip && advantage < 0.0)
        };
        let hit = ratio.iter().zip(&mask).zip(&advantages).filter(|&((&r, &m), &a)| m > 0.0 && beyond(r, a)).count();
        hit as f64 / mask.iter().filter(|&&m| m > 0.0).count().max(1) as f64
    }

    /// The mean over the tokens of each answer, `[k]`.
    pub fn mean(&self, each: Tensor<2>) -> Tensor<1> {
        let counts = self.mask.clone().sum_dim(1).clamp_min(1.0);
        ((each * self.mask.clone()).sum_dim(1) / counts).flatten(0, 1)
    }
}

/// Half the square by which values miss their returns, the larger of that and what it would be had the value moved by `clip` at
/// most (arXiv:2005.12729, section 3).
pub fn value_losses(values: Tensor<2>, old: Tensor<2>, returns: &Tensor<2>, clip: f64) -> Tensor<2> {
    let bounded = old.clone() + (values.clone() - old).clamp(-clip, clip);
    let square = |values: Tensor<2>| {
        let off = values - returns.clone();
        off.clone() * off
    };
    square(values).max_pair(square(bounded)) * 0.5
}
