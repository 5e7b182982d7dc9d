//! Metrics of generated texts beside one reference each: BLEU and chrF as sacrebleu computes them, ROUGE as rouge-score does.

mod bleu;
mod chrf;
mod rouge;

use std::collections::BTreeMap;

pub use bleu::{Bleu, BleuTokens, bleu};
pub use chrf::{chrf, chrf_interval};
pub use rouge::{Rouge, rouge};

/// How often each run of `n` things occurs.
fn ngrams<T: Ord>(things: &[T], n: usize) -> BTreeMap<&[T], u64> {
    let mut counts = BTreeMap::new();
    for ngram in things.windows(n) {
        *counts.entry(ngram).or_default() += 1;
    }
    counts
}

/// What both have, each thing as often as in the one that has fewer of it.
fn common<T: Ord>(a: &BTreeMap<&[T], u64>, b: &BTreeMap<&[T], u64>) -> u64 {
    a.iter().map(|(ngram, &count)| count.min(b.get(ngram).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::{BleuTokens, bleu, chrf, rouge};

    /// The figures of sacrebleu and rouge-score are sums in another order.
    const TOLERANCE: f64 = 1e-9;

    #[test]
    fn figures_are_those_of_sacrebleu_and_rouge_score() {
        let text = include_str!("../../../../fixtures/metrics/texts.json");
        let cases: Vec<Value> = serde_json::from_str(text).expect("the fixture's form");
        for case in &cases {
            let pairs: Vec<(&str, &str)> = case["pairs"]
                .as_array()
                .expect("the fixture's form")
                .iter()
                .map(|pair| {
                    (pair[0].as_str().expect("the fixture's form"), pair[1].as_str().expect("the fixture's form"))
                })
                .collect();
            let words = rouge(&pairs);
            let figures = [
                ("bleu", bleu(&pairs, BleuTokens::Spaced).score),
                ("bleu_zh", bleu(&pairs, BleuTokens::Chinese).score),
                ("bleu_brevity", bleu(&pairs, BleuTokens::Spaced).brevity),
                ("chrf", chrf(&pairs)),
                ("rouge1", words.one),
                ("rouge2", words.two),
                ("rougeL", words.longest),
            ];
            for (name, got) in figures {
                let expected = case[name].as_f64().expect("the fixture's form");
                assert!((got - expected).abs() < TOLERANCE, "{name} of {pairs:?} is {got}, expected {expected}");
            }
        }
        assert_eq!(cases.len(), 12);
    }
}
