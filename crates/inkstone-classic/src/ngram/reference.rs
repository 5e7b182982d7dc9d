//! The textbook: every smoothing as its definition reads, over maps, one recursion a query. Slow, and the oracle of
//! everything else here.

use std::collections::BTreeMap;

use super::explain::Counted;
use super::smoothing::{CountsOfCounts, Discounts, Smoothing};
use super::vocabulary::{BEGIN, END, WordId};

type Ngram = Vec<WordId>;

/// Counts of a text, and what follows from them.
#[derive(Debug)]
pub struct Reference {
    smoothing: Smoothing,
    /// Ids of all words, those of `<s>` and `<unk>` included.
    vocabulary: usize,
    /// Of each n-gram of each order, how often it occurs.
    occurrences: BTreeMap<Ngram, u64>,
    /// What the smoothing counts: occurrences, or different words before.
    counts: BTreeMap<Ngram, u64>,
    /// The words that came after a history.
    followers: BTreeMap<Ngram, Vec<WordId>>,
    /// By the order from 1 on.
    discounts: Vec<Discounts>,
    prune: Vec<u64>,
}

impl Reference {
    /// Counts sentences over a vocabulary of `vocabulary` ids. N-grams of order k that occur `prune[k − 1]` times or less
    /// are left out.
    pub fn new(
        sentences: &[Vec<WordId>],
        vocabulary: usize,
        order: usize,
        smoothing: Smoothing,
        prune: &[u64],
    ) -> Self {
        let mut occurrences: BTreeMap<Ngram, u64> = BTreeMap::new();
        for sentence in sentences {
            let words: Vec<WordId> = [&[BEGIN], sentence.as_slice(), &[END]].concat();
            for end in 1..words.len() {
                for start in (end + 1).saturating_sub(order)..=end {
                    *occurrences.entry(words[start..=end].to_vec()).or_default() += 1;
                }
            }
        }
        let counts =
            if smoothing.counts_continuations() { continuations(&occurrences, order) } else { occurrences.clone() };
        let mut followers: BTreeMap<Ngram, Vec<WordId>> = BTreeMap::new();
        for ngram in counts.keys() {
            followers.entry(ngram[..ngram.len() - 1].to_vec()).or_default().push(ngram[ngram.len() - 1]);
        }
        let discounts = (1..=order).map(|k| Discounts::estimate(smoothing, &counts_of_counts(&counts, k))).collect();
        Self { smoothing, vocabulary, occurrences, counts, followers, discounts, prune: prune.to_vec() }
    }

    /// The longest ending of `history` that the model looks at, and the probability of `word` after it.
    pub fn probability(&self, history: &[WordId], word: WordId) -> f64 {
        let history = &history[history.len().saturating_sub(self.discounts.len() - 1)..];
        if self.smoothing.interpolates() { self.interpolated(history, word) } else { self.backed_off(history, word) }
    }

    /// The discounts of an order.
    pub fn discounts(&self, order: usize) -> &Discounts {
        &self.discounts[order - 1]
    }

    /// What was counted for a word after a history, if the history was ever seen.
    pub fn counted(&self, history: &[WordId], word: WordId) -> Option<Counted> {
        let [total, types, ..] = self.sums(history)?;
        let count = self.count(history, word);
        Some(Counted {
            count,
            history_count: total as u64,
            history_types: types as u64,
            discount: self.discounts[history.len()].of(count),
        })
    }

    fn count(&self, history: &[WordId], word: WordId) -> u64 {
        self.counts.get(&[history, &[word]].concat()).copied().unwrap_or(0)
    }

    fn kept(&self, history: &[WordId], word: WordId) -> bool {
        let least = self.prune.get(history.len()).copied().unwrap_or(0);
        self.occurrences.get(&[history, &[word]].concat()).is_some_and(|&n| n > least)
    }

    /// Σ c(hw), number of types, Σ discounts of what is kept, Σ c(hw) of what is not.
    fn sums(&self, history: &[WordId]) -> Option<[f64; 4]> {
        let discounts = &self.discounts[history.len()];
        let mut sums = [0.0; 4];
        for &word in self.followers.get(history)? {
            let count = self.count(history, word);
            sums[0] += count as f64;
            sums[1] += 1.0;
            if self.kept(history, word) {
                sums[2] += discounts.of(count);
            } else {
                sums[3] += count as f64;
            }
        }
        Some(sums)
    }

    fn below(&self, history: &[WordId], word: WordId) -> f64 {
        let predictable = (self.vocabulary - 1) as f64;
        if history.is_empty() { 1.0 / predictable } else { self.interpolated(&history[1..], word) }
    }

    fn interpolated(&self, history: &[WordId], word: WordId) -> f64 {
        let below = self.below(history, word);
        let Some([total, types, discounted, pruned]) = self.sums(history) else { return below };
        let count = self.count(history, word) as f64;
        let own = if self.kept(history, word) { 1.0 } else { 0.0 };
        match self.smoothing {
            Smoothing::WittenBell => (own * count + (types + pruned) * below) / (total + types),
            Smoothing::AddK(k) => {
                let added = k * (self.vocabulary - 1) as f64;
                (own * count + (added + pruned) * below) / (total + added)
            }
            _ => {
                let lost = self.discounts[history.len()].of(count as u64);
                (own * (count - lost) + (discounted + pruned) * below) / total
            }
        }
    }

    fn backed_off(&self, history: &[WordId], word: WordId) -> f64 {
        let lower = |word: WordId| match history {
            [] => 1.0 / (self.vocabulary - 1) as f64,
            _ => self.backed_off(&history[1..], word),
        };
        let Some([total, ..]) = self.sums(history) else { return lower(word) };
        let kept: Vec<WordId> =
            self.followers[history].iter().copied().filter(|&word| self.kept(history, word)).collect();
        if kept.is_empty() {
            return lower(word);
        }
        let discounts = &self.discounts[history.len()];
        let frequency = |word: WordId| {
            let count = self.count(history, word);
            (count as f64 - discounts.of(count)) / total
        };
        let seen: f64 = kept.iter().map(|&word| frequency(word)).sum();
        let unseen = 1.0 - kept.iter().map(|&word| lower(word)).sum::<f64>();
        let nothing_unseen = unseen < 1e-12;
        let nothing_left = 1.0 - seen < 1e-12;
        let (scale, weight) = match self.smoothing {
            _ if nothing_unseen => (1.0 / seen, 0.0),
            Smoothing::StupidBackoff(alpha) if !history.is_empty() => {
                let sum = seen + alpha * unseen;
                (1.0 / sum, alpha / sum)
            }
            _ if nothing_left => (total / (total + 1.0), 1.0 / (total + 1.0) / unseen),
            _ => (1.0, (1.0 - seen) / unseen),
        };
        if kept.contains(&word) { frequency(word) * scale } else { lower(word) * weight }
    }
}

/// How many different words stand before each n-gram; of those that begin a sentence or are as long as any, how often
/// they occur.
fn continuations(occurrences: &BTreeMap<Ngram, u64>, order: usize) -> BTreeMap<Ngram, u64> {
    let mut counts: BTreeMap<Ngram, u64> = BTreeMap::new();
    for (ngram, &n) in occurrences {
        if ngram.len() == order || ngram[0] == BEGIN {
            counts.insert(ngram.clone(), n);
        }
        if ngram.len() > 1 {
            *counts.entry(ngram[1..].to_vec()).or_default() += 1;
        }
    }
    counts
}

fn counts_of_counts(counts: &BTreeMap<Ngram, u64>, order: usize) -> CountsOfCounts {
    let mut n = CountsOfCounts::default();
    for (_, &count) in counts.iter().filter(|(ngram, _)| ngram.len() == order) {
        if let Some(n) = n.get_mut(count as usize) {
            *n += 1;
        }
    }
    n
}
