//! Order 1, below which all words are alike.

use super::back_off::Shares;
use super::histories::History;
use crate::ngram::smoothing::{Discounts, Smoothing};
use crate::ngram::vocabulary::{BEGIN, UNKNOWN};

/// The probability of each word after no history, by its id; that of `<s>`, which is never predicted, is 1 by convention.
/// `counts` has 0 for words that do not occur, as `<unk>` where the text has none.
pub fn unigrams(counts: &[u64], smoothing: Smoothing, discounts: &Discounts) -> Vec<f64> {
    let predictable = counts.len() - 1;
    let seen = counts.iter().filter(|&&count| count > 0);
    let sums = History::new(seen.map(|&count| (count, false)), discounts);
    let denominator = sums.denominator(smoothing, predictable);
    let frequency = |count: u64| (count as f64 - discounts.of(count)) / denominator;
    let mut probabilities: Vec<f64> = if smoothing.interpolates() {
        let uniform = sums.weight(smoothing, predictable) / predictable as f64;
        counts.iter().map(|&count| frequency(count) + uniform).collect()
    } else {
        // The words without a count, <unk> above all, share what the others leave.
        let empty = (predictable as f64 - sums.types).max(0.0);
        let seen: f64 = counts.iter().map(|&count| frequency(count)).sum();
        let unseen = empty / predictable as f64;
        let shares = match smoothing {
            // One occurrence of something else: there is no shorter history that could have a share.
            Smoothing::StupidBackoff(_) if empty > 0.0 => Shares::new(Smoothing::Katz, 1.0, 1.0 - unseen, sums.total),
            _ => Shares::new(Smoothing::Katz, seen, 1.0 - unseen, sums.total),
        };
        let share =
            |count: u64| if count > 0 { frequency(count) * shares.scale } else { shares.weight / predictable as f64 };
        counts.iter().map(|&count| share(count)).collect()
    };
    debug_assert!(probabilities[UNKNOWN as usize] > 0.0);
    probabilities[BEGIN as usize] = 1.0;
    probabilities
}
