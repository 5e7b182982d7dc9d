//! ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004): words, pairs of words and the longest common subsequence that a summary has in common with
//! its reference.

use super::{common, ngrams};

/// F-measures, 0 to 1: means over the texts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rouge {
    /// Of words.
    pub one: f64,
    /// Of pairs of words.
    pub two: f64,
    /// Of the longest common subsequence of words.
    pub longest: f64,
}

/// ROUGE of texts, each beside its reference. Words are runs of ASCII letters and digits, in lower case, unstemmed.
pub fn rouge(pairs: &[(&str, &str)]) -> Rouge {
    let mut sum = Rouge::default();
    for (text, reference) in pairs {
        let (ours, theirs) = (words(text), words(reference));
        let shared = |n| common(&ngrams(&ours, n), &ngrams(&theirs, n)) as f64;
        let runs = |words: &[String], n: usize| (words.len() + 1).saturating_sub(n) as f64;
        sum.one += f_measure(shared(1), runs(&ours, 1), runs(&theirs, 1));
        sum.two += f_measure(shared(2), runs(&ours, 2), runs(&theirs, 2));
        sum.longest += f_measure(longest_common(&ours, &theirs) as f64, runs(&ours, 1), runs(&theirs, 1));
    }
    let n = pairs.len().max(1) as f64;
    Rouge { one: sum.one / n, two: sum.two / n, longest: sum.longest / n }
}

fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn f_measure(shared: f64, ours: f64, theirs: f64) -> f64 {
    let (precision, recall) = (shared / ours.max(1.0), shared / theirs.max(1.0));
    if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
}

/// Length of the longest common subsequence, by the rows of its table.
fn longest_common(a: &[String], b: &[String]) -> usize {
    let mut before = vec![0; b.len() + 1];
    for word in a {
        let mut row = vec![0; b.len() + 1];
        for (n, other) in b.iter().enumerate() {
            row[n + 1] = if word == other { before[n] + 1 } else { row[n].max(before[n + 1]) };
        }
        before = row;
    }
    before[b.len()]
}
