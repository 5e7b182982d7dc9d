//! How well scores tell the better answer, and how far they can be believed.

use serde::Serialize;

use crate::interval::{Share, wilson};

/// Bins of the calibration.
const BINS: usize = 10;

/// What the scores of held-out pairs are worth.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement {
    /// Pairs whose better answer scores higher; ties count half.
    pub accuracy: Share,
    /// The same for the better of two rules that see the length alone.
    pub length_accuracy: Share,
    /// Mean distance between the probability that a pair's scores claim and how often that comes true, over tenths of it.
    pub calibration_error: f64,
    /// For each tenth: pairs, mean claimed probability, share that came true.
    pub bins: Vec<(u64, f64, f64)>,
}

/// Judges pairs of scores and of lengths, the better answer's first.
pub fn judge(scores: &[(f32, f32)], lengths: &[(usize, usize)]) -> Judgement {
    let n = scores.len() as u64;
    let hits = |wins: usize, ties: usize| (2 * wins + ties).div_ceil(2) as u64;
    let right = scores.iter().filter(|(good, bad)| good > bad).count();
    let ties = scores.iter().filter(|(good, bad)| good == bad).count();
    let longer = lengths.iter().filter(|(good, bad)| good > bad).count();
    let same = lengths.iter().filter(|(good, bad)| good == bad).count();
    let shorter = lengths.len() - longer - same;
    let bins = calibration(scores);
    let calibration_error =
        bins.iter().map(|(count, claimed, came)| *count as f64 * (claimed - came).abs()).sum::<f64>() / n.max(1) as f64;
    Judgement {
        accuracy: wilson(hits(right, ties), n),
        length_accuracy: wilson(hits(longer.max(shorter), same), n),
        calibration_error,
        bins,
    }
}

/// Each pair is seen from the answer that scores higher: it claims to be the better one with `σ` of the difference.
fn calibration(scores: &[(f32, f32)]) -> Vec<(u64, f64, f64)> {
    let mut bins = vec![(0_u64, 0.0, 0.0); BINS];
    for &(good, bad) in scores {
        let claimed = 1.0 / (1.0 + (-f64::from((good - bad).abs())).exp());
        let bin = &mut bins[(((claimed - 0.5) * 2.0 * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += 1;
        bin.1 += claimed;
        bin.2 += if good > bad {
            1.0
        } else if good < bad {
            0.0
        } else {
            0.5
        };
    }
    bins.into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, claimed, came)| (count, claimed / count as f64, came / count as f64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::judge;

    #[test]
    fn ties_count_half_and_the_better_rule_of_length_is_taken() {
        let judged = judge(&[(1.0, 0.0), (0.0, 1.0), (2.0, 2.0), (3.0, 0.0)], &[(1, 2), (1, 3), (2, 1), (5, 5)]);
        assert!((judged.accuracy.value - 0.75).abs() < 1e-12, "{judged:?}");
        assert!((judged.length_accuracy.value - 0.75).abs() < 1e-12, "{judged:?}");
        // Two claims of 0.731, one of which came true, a tie at 0.5, one of 0.953 that came true.
        let expected = (2.0 * (0.731_058_6 - 0.5) + 0.0 + (1.0 - 0.952_574_1)) / 4.0;
        assert!((judged.calibration_error - expected).abs() < 1e-6, "{judged:?}");
    }
}
