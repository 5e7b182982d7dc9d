//! Initial weights that depend on the seed and the parameter's name only: neither the order in
//! which they are drawn nor the number of threads can change them.

use inkstone_nn::mix;

/// `n` draws of a normal distribution with mean 0 (Box-Muller over `SplitMix64`, keyed by seed and name).
pub(crate) fn normal(seed: u64, name: &str, n: usize, std: f64) -> Vec<f32> {
    // FNV-1a of the name.
    let key = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let base = mix(seed ^ 0x9e37_79b9_7f4a_7c15) ^ key;
    let pair = |index: u64| {
        let (a, b) = (uniform(base, 2 * index), uniform(base, 2 * index + 1));
        let radius = std * (-2.0 * (1.0 - a).ln()).sqrt();
        let angle = 2.0 * std::f64::consts::PI * b;
        [(radius * angle.cos()) as f32, (radius * angle.sin()) as f32]
    };
    (0..n.div_ceil(2) as u64).flat_map(pair).take(n).collect()
}

/// A number from 0 to 1 (exclusive).
fn uniform(base: u64, index: u64) -> f64 {
    (mix(base.wrapping_add(index.wrapping_mul(0x9e37_79b9_7f4a_7c15))) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::normal;

    #[test]
    fn has_the_moments_of_a_normal_distribution() {
        let draws = normal(7, "model.embed_tokens.weight", 100_001, 0.02);
        let n = draws.len() as f64;
        let mean = draws.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let moment = |p: i32| draws.iter().map(|&x| (f64::from(x) / 0.02).powi(p)).sum::<f64>() / n;
        assert!(mean.abs() < 3e-4 && (moment(2) - 1.0).abs() < 0.02 && (moment(4) - 3.0).abs() < 0.1);
        assert_ne!(draws[..8], normal(8, "model.embed_tokens.weight", 8, 0.02)[..]);
        assert_ne!(draws[..8], normal(7, "model.norm.weight", 8, 0.02)[..]);
    }
}
