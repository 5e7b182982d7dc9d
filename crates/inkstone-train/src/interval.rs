//! Confidence intervals.

use serde::{Deserialize, Serialize};

/// A share with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// The share.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

/// 97.5 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's score interval (1927) of `hits` out of `n`; 0 to 1 where `n` is 0.
pub fn wilson(hits: u64, n: u64) -> Share {
    if n == 0 {
        return Share { value: 0.0, low: 0.0, high: 1.0 };
    }
    let (n, value) = (n as f64, hits as f64 / n as f64);
    let square = Z * Z;
    let centre = (value + square / (2.0 * n)) / (1.0 + square / n);
    let half = Z / (1.0 + square / n) * (value * (1.0 - value) / n + square / (4.0 * n * n)).sqrt();
    Share { value, low: (centre - half).max(0.0), high: (centre + half).min(1.0) }
}

/// The mean of `points` with its interval under the normal distribution; 0 to 1 where there is none.
pub fn mean(points: &[f64]) -> Share {
    if points.is_empty() {
        return Share { value: 0.0, low: 0.0, high: 1.0 };
    }
    let n = points.len() as f64;
    let value = points.iter().sum::<f64>() / n;
    let variance = points.iter().map(|x| (x - value).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    let half = Z * (variance / n).sqrt();
    Share { value, low: value - half, high: value + half }
}

#[cfg(test)]
mod tests {
    use super::wilson;

    /// Figures of `statsmodels.stats.proportion.proportion_confint(count, n, method="wilson")`.
    #[test]
    fn agrees_with_statsmodels() {
        for (hits, n, low, high) in
            [(7, 10, 0.396_775, 0.892_209), (0, 20, 0.0, 0.161_125), (180, 200, 0.850_619, 0.934_281)]
        {
            let share = wilson(hits, n);
            assert!((share.low - low).abs() < 2e-4 && (share.high - high).abs() < 2e-4, "{hits}/{n}: {share:?}");
        }
    }
}
