//! The strength of the pull towards the reference, adapted to a divergence that is wanted (arXiv:1909.08593, section 2.2).

/// How far off the target an iteration may seem.
const CLIP: f64 = 0.2;
/// Change of the strength for each unit of the error.
const GAIN: f64 = 0.5;

/// The strength after an iteration whose answers diverged by `divergence` nats, where `target` is wanted: `β(1 + K·e)` with the error `e`
/// clipped to ±0.2. Departure: `K` is 0.5, five times the paper's, for runs of a hundred iterations rather than thousands.
pub fn adapted(strength: f64, divergence: f64, target: f64) -> f64 {
    let error = (divergence / target - 1.0).clamp(-CLIP, CLIP);
    strength * (1.0 + GAIN * error)
}

#[cfg(test)]
mod tests {
    use super::adapted;

    #[test]
    fn too_far_pulls_more_and_too_near_less() {
        assert!((adapted(0.1, 10.0, 2.0) - 0.11).abs() < 1e-12);
        assert!((adapted(0.1, 0.0, 2.0) - 0.09).abs() < 1e-12);
        assert!((adapted(0.1, 2.1, 2.0) - 0.1025).abs() < 1e-12);
        assert!((adapted(0.1, 2.0, 2.0) - 0.1).abs() < 1e-12);
    }
}
