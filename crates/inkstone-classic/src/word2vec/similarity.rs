//! How well the cosine orders pairs of words as people do (Spearman's rank correlation).

use std::path::Path;

use super::sentences::each_line;
use super::vectors::Space;
use crate::{ClassicError, Result};

/// Agreement with people's judgements.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Agreement {
    /// Spearman's rank correlation, ties sharing their mean rank.
    pub spearman: f64,
    /// Lower end of its 95 % interval (Fisher's z with the error of Bonett and Wright 2000).
    pub spearman_low: f64,
    /// Upper end.
    pub spearman_high: f64,
    /// Pairs both of whose words are known.
    pub pairs: u64,
    /// Pairs with an unknown word.
    pub unknown: u64,
}

/// Compares with a file of lines `word word score`, split by tabs, commas or spaces. A first line without a
/// score is a heading; lines that begin with `#` are passed over.
pub fn similarity(space: &Space, path: &Path) -> Result<Agreement> {
    let (mut ours, mut theirs, mut unknown, mut number) = (Vec::new(), Vec::new(), 0, 0);
    each_line(path, |line, _| {
        number += 1;
        if line.starts_with('#') || line.trim().is_empty() {
            return Ok(());
        }
        let Some((a, b, score)) = pair(line) else {
            let what = "expected two words and a score".to_owned();
            return if number == 1 {
                Ok(())
            } else {
                Err(ClassicError::Line { path: path.into(), line: number, what })
            };
        };
        let id = |word: &str| space.id(word).or_else(|| space.id(&word.to_lowercase()));
        match (id(a), id(b)) {
            (Some(a), Some(b)) => {
                ours.push(f64::from(space.similarity(a, b)));
                theirs.push(score);
            }
            _ => unknown += 1,
        }
        Ok(())
    })?;
    if ours.len() < 4 {
        let found = format!("{} pairs of known words ({unknown} have an unknown one)", ours.len());
        return Err(ClassicError::TooLittle { found, expected: "at least 4" });
    }
    Ok(agreement(&ours, &theirs, unknown))
}

fn pair(line: &str) -> Option<(&str, &str, f64)> {
    let mut parts = line.split(['\t', ',', ' ', '\r', '\n']).filter(|part| !part.is_empty());
    let (a, b) = (parts.next()?, parts.next()?);
    let score = parts.next()?.parse().ok().filter(|score: &f64| score.is_finite())?;
    Some((a, b, score))
}

fn agreement(ours: &[f64], theirs: &[f64], unknown: u64) -> Agreement {
    let r = pearson(&ranks(ours), &ranks(theirs));
    let n = ours.len() as f64;
    let error = 1.959_964 * ((1.0 + r * r / 2.0) / (n - 3.0)).sqrt();
    let z = r.clamp(-0.999_999, 0.999_999).atanh();
    Agreement {
        spearman: r,
        spearman_low: (z - error).tanh(),
        spearman_high: (z + error).tanh(),
        pairs: ours.len() as u64,
        unknown,
    }
}

/// The rank of each value from 1; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = before as f64 + f64::midpoint(1.0, equal.len() as f64);
        for &n in equal {
            ranks[n] = mean;
        }
        before += equal.len();
    }
    ranks
}

fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(a, b)| f(a - mean_a, b - mean_b)).sum::<f64>();
    let scale = (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt();
    if scale > 0.0 { sum(&|a, b| a * b) / scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{agreement, ranks};

    #[test]
    fn equal_values_share_their_rank() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
    }

    #[test]
    fn only_the_order_counts() {
        let perfect = agreement(&[1.0, 2.0, 3.0, 40.0, 5.0], &[0.1, 0.2, 0.3, 9.0, 0.5], 0);
        assert!((perfect.spearman - 1.0).abs() < 1e-12);
        let known = agreement(&[1.0, 2.0, 3.0, 4.0, 5.0], &[2.0, 1.0, 4.0, 3.0, 5.0], 0);
        assert!((known.spearman - 0.8).abs() < 1e-12, "{}", known.spearman);
        assert!(known.spearman_low < 0.8 && 0.8 < known.spearman_high && known.spearman_high <= 1.0);
    }
}
