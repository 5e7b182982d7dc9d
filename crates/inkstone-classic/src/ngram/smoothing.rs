//! How probability is moved from n-grams that were seen to those that were not.

use serde::{Deserialize, Serialize};

/// A way of smoothing. In all of them `c` is a count, `h` a history, `h'` the history without its first word, V the
/// number of words that can be predicted. All sum to one over the vocabulary and can be written as a back-off model.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Smoothing {
    /// Interpolated modified Kneser-Ney (Chen and Goodman 1998, section 4.1.6, equations 26 and 27): three discounts an
    /// order; below the highest order, and but for n-grams that begin a sentence, the count of an n-gram is the number
    /// of different words before it.
    ModifiedKneserNey,
    /// Interpolated, with weight T(h) / (c(h) + T(h)) for the shorter history, T(h) being the number of different words
    /// after h (Witten and Bell 1991; Chen and Goodman 1998, section 2.5).
    WittenBell,
    /// Interpolated, with one discount n₁/(n₁ + 2n₂) an order (Ney, Essen and Kneser 1994).
    AbsoluteDiscounting,
    /// Adds k·V counts, at order 1 evenly (Lidstone), at longer histories as the shorter history spreads them (MacKay and
    /// Peto 1995): spread evenly at every order they would not form a back-off model.
    AddK(f64),
    /// Good-Turing discounts for counts of 5 and below, and back-off (Katz 1987).
    Katz,
    /// Relative frequencies, with a fixed weight for the shorter history (Brants et al. 2007), divided by their sum over
    /// the vocabulary at each history so that perplexities can be compared; the ranking of seen words stays.
    StupidBackoff(f64),
}

impl Smoothing {
    /// Whether lower orders count different words before an n-gram instead of its occurrences.
    pub fn counts_continuations(self) -> bool {
        self == Self::ModifiedKneserNey
    }

    /// Whether an n-gram's probability is a sum over all orders; else the shorter history is asked only where the longer
    /// one is silent.
    pub fn interpolates(self) -> bool {
        !matches!(self, Self::Katz | Self::StupidBackoff(_))
    }

    /// Whether it subtracts discounts that are estimated from counts of counts.
    pub fn discounts(self) -> bool {
        matches!(self, Self::ModifiedKneserNey | Self::AbsoluteDiscounting | Self::Katz)
    }
}

/// Counts above are not discounted by Katz's smoothing.
const KATZ_LIMIT: usize = 5;

/// How many n-grams of one order have which count: `n[r]` for r in 1..=6.
pub type CountsOfCounts = [u64; KATZ_LIMIT + 2];

/// What is subtracted from a count.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Discounts {
    /// By the count: `amount[r]` for r in 1..=5; larger counts lose `amount[6]`.
    pub amount: [f64; KATZ_LIMIT + 2],
    /// Whether the counts of counts did not allow an estimate.
    pub fallback: bool,
}

impl Discounts {
    /// Nothing is subtracted.
    pub const NONE: Self = Self { amount: [0.0; KATZ_LIMIT + 2], fallback: false };

    /// What a count loses.
    pub fn of(&self, count: u64) -> f64 {
        self.amount[count.min(KATZ_LIMIT as u64 + 1) as usize]
    }

    /// The discounts of one order, from its counts of counts. Where these do not allow an estimate (tiny texts, classes),
    /// a fixed one is taken and said so.
    pub fn estimate(smoothing: Smoothing, n: &CountsOfCounts) -> Self {
        let (estimate, fallback) = match smoothing {
            Smoothing::ModifiedKneserNey => (modified(n), [0.5, 1.0, 1.5].into()),
            Smoothing::AbsoluteDiscounting => (absolute(n), Three([0.5; 3])),
            Smoothing::Katz => return Self::katz(n),
            _ => return Self::NONE,
        };
        let Three([one, two, more]) = estimate.unwrap_or(fallback);
        Self { amount: [0.0, one, two, more, more, more, more], fallback: estimate.is_none() }
    }

    /// `d_r = (r*/r − (k+1)n_{k+1}/n₁) / (1 − (k+1)n_{k+1}/n₁)` with `r* = (r+1)n_{r+1}/n_r`, k = 5 (Katz 1987); a count
    /// r loses `r(1 − d_r)`.
    fn katz(n: &CountsOfCounts) -> Self {
        let n: Vec<f64> = n.iter().map(|&n| n as f64).collect();
        let beyond = (KATZ_LIMIT as f64 + 1.0) * n[KATZ_LIMIT + 1] / n[1];
        let mut amount = [0.0; KATZ_LIMIT + 2];
        for r in 1..=KATZ_LIMIT {
            let turing = (r as f64 + 1.0) * n[r + 1] / n[r] / r as f64;
            amount[r] = r as f64 * (1.0 - (turing - beyond) / (1.0 - beyond));
        }
        let sound = (1..=KATZ_LIMIT).all(|r| amount[r] > 0.0 && amount[r] < r as f64);
        if sound && beyond < 1.0 {
            return Self { amount, fallback: false };
        }
        Self { amount: [0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5], fallback: true }
    }
}

/// Discounts of counts of one, two, and three or more.
#[derive(Debug, Clone, Copy)]
struct Three([f64; 3]);

impl From<[f64; 3]> for Three {
    fn from(discounts: [f64; 3]) -> Self {
        Self(discounts)
    }
}

/// `D_r = r − (r+1)·Y·n_{r+1}/n_r` with Y = n₁/(n₁ + 2n₂) (Chen and Goodman 1998, equation 26).
fn modified(n: &CountsOfCounts) -> Option<Three> {
    if n[1..=3].contains(&0) {
        return None;
    }
    let n: Vec<f64> = n.iter().map(|&n| n as f64).collect();
    let y = n[1] / (n[1] + 2.0 * n[2]);
    let discounts = [1, 2, 3].map(|r| r as f64 - (r as f64 + 1.0) * y * n[r + 1] / n[r]);
    let sound = discounts.iter().zip(1..).all(|(&d, r)| (0.0..=f64::from(r)).contains(&d));
    // Three zeros would leave nothing for what was not seen.
    (sound && discounts.iter().any(|&d| d > 0.0)).then_some(Three(discounts))
}

fn absolute(n: &CountsOfCounts) -> Option<Three> {
    let d = n[1] as f64 / (n[1] as f64 + 2.0 * n[2] as f64);
    (n[1] > 0 && n[2] > 0).then_some(Three([d; 3]))
}

#[cfg(test)]
mod tests {
    use super::{Discounts, Smoothing};

    #[test]
    fn discounts_are_those_of_the_papers_or_declared_not() {
        let n = [0, 1000, 400, 210, 120, 80, 55];
        let kn = Discounts::estimate(Smoothing::ModifiedKneserNey, &n);
        let y = 1000.0 / 1800.0;
        assert!(
            (kn.of(1) - (1.0 - 2.0 * y * 0.4)).abs() < 1e-12
                && (kn.of(9) - (3.0 - 4.0 * y * 12.0 / 21.0)).abs() < 1e-12
        );
        assert!(!kn.fallback && !Discounts::estimate(Smoothing::Katz, &n).fallback);
        for smoothing in [Smoothing::ModifiedKneserNey, Smoothing::AbsoluteDiscounting, Smoothing::Katz] {
            assert!(Discounts::estimate(smoothing, &[0, 3, 0, 0, 0, 0, 0]).fallback, "{smoothing:?}");
        }
        assert_eq!(Discounts::estimate(Smoothing::WittenBell, &n), Discounts::NONE);
    }
}
