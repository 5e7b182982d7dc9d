//! Linear interpolation of models, with weights tuned on held-out text (Jelinek and Mercer 1980).

/// Rounds of expectation and maximisation; each makes the tuning text likelier, and the last ones hardly any more.
const ROUNDS: usize = 200;

/// The weights that make a text likeliest. `losses[m][t]` is the loss (nats) of token `t` by model `m`.
pub(super) fn tune(losses: &[Vec<f32>]) -> Vec<f64> {
    let models = losses.len();
    let mut weights = vec![1.0 / models as f64; models];
    for _ in 0..ROUNDS {
        let mut shares = vec![0.0; models];
        for t in 0..losses[0].len() {
            // Relative to the best model's, so that no probability is too small for a number.
            let best = losses.iter().map(|losses| losses[t]).fold(f32::INFINITY, f32::min);
            let part = |m: usize| weights[m] * f64::from(best - losses[m][t]).exp();
            let sum: f64 = (0..models).map(part).sum();
            shares.iter_mut().enumerate().for_each(|(m, share)| *share += part(m) / sum);
        }
        let all: f64 = shares.iter().sum();
        weights = shares.iter().map(|share| share / all).collect();
    }
    weights
}

/// The loss of each token by the mixture.
pub(super) fn mix(losses: &[Vec<f32>], weights: &[f64]) -> Vec<f32> {
    let mixed = |t: usize| {
        let best = losses.iter().map(|losses| losses[t]).fold(f32::INFINITY, f32::min);
        let sum: f64 =
            losses.iter().zip(weights).map(|(losses, weight)| weight * f64::from(best - losses[t]).exp()).sum();
        (f64::from(best) - sum.ln()) as f32
    };
    (0..losses.first().map_or(0, Vec::len)).map(mixed).collect()
}

#[cfg(test)]
mod tests {
    use super::{mix, tune};

    fn mean(losses: &[f32]) -> f64 {
        losses.iter().map(|&x| f64::from(x)).sum::<f64>() / losses.len() as f64
    }

    /// Two models, each sure of another half of the text, and one that knows nothing.
    fn models() -> Vec<Vec<f32>> {
        let model = |sure: fn(usize) -> bool| (0..300).map(|t| if sure(t) { 0.1 } else { 6.0 }).collect();
        vec![model(|t| t % 3 == 0), model(|t| t % 3 > 0), vec![5.0; 300]]
    }

    #[test]
    fn tuned_weights_are_the_best_and_a_mixture_beats_its_parts() {
        let models = models();
        let weights = tune(&models);
        assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((weights[0] - 1.0 / 3.0).abs() < 0.02 && weights[2] < 0.01, "{weights:?}");
        let best = mean(&mix(&models, &weights));
        assert!(models.iter().all(|model| mean(model) > best));
        for (a, b) in [(0, 1), (1, 0), (2, 0), (1, 2)] {
            let mut moved = weights.clone();
            let by = 0.01_f64.min(moved[a]);
            moved[a] -= by;
            moved[b] += by;
            assert!(mean(&mix(&models, &moved)) >= best - 1e-9);
        }
    }

    #[test]
    fn one_model_is_itself_and_impossible_tokens_are_no_trouble() {
        let one = vec![vec![0.5, 700.0, 3.0]];
        assert_eq!(mix(&one, &tune(&one)), one[0]);
        let mixed = mix(&[vec![2000.0, 1.0], vec![1900.0, 1.0]], &[0.5, 0.5]);
        assert!((mixed[0] - 1900.6931).abs() < 1e-3 && (mixed[1] - 1.0).abs() < 1e-6);
    }
}
