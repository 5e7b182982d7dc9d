//! A cache: words that were used lately are likely to be used again (Kuhn and De Mori 1990).

use std::collections::{HashMap, VecDeque};

use super::vocabulary::{BEGIN, UNKNOWN, WordId};

/// The last words, and how often each is among them. Its distribution over the vocabulary sums to one as soon as
/// there is a word in it.
#[derive(Debug, Clone)]
pub struct Cache {
    size: usize,
    weight: f64,
    recent: VecDeque<WordId>,
    counts: HashMap<WordId, u64>,
}

impl Cache {
    /// Of the last `size` words, with a weight from 0 to below 1 beside the model's.
    pub fn new(size: usize, weight: f64) -> Self {
        Self { size: size.max(1), weight, recent: VecDeque::new(), counts: HashMap::new() }
    }

    /// (1 − weight) · the model's probability + weight · the word's share of the cache, as log₁₀. An empty cache has no say.
    pub fn log10(&self, word: WordId, model: f64) -> f64 {
        if self.recent.is_empty() {
            return model;
        }
        let share = self.counts.get(&word).copied().unwrap_or(0) as f64 / self.recent.len() as f64;
        ((1.0 - self.weight) * 10f64.powf(model) + self.weight * share).log10()
    }

    /// The mixed probability of a word, which is remembered. Unknown words are not: they need not be the same.
    pub fn mix(&mut self, word: WordId, model: f64) -> f64 {
        let mixed = self.log10(word, model);
        if word != UNKNOWN && word != BEGIN {
            self.remember(word);
        }
        mixed
    }

    fn remember(&mut self, word: WordId) {
        self.recent.push_back(word);
        *self.counts.entry(word).or_default() += 1;
        if self.recent.len() > self.size
            && let Some(oldest) = self.recent.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Cache;

    #[test]
    fn what_was_said_lately_is_likelier_and_the_sum_stays_one() {
        let mut cache = Cache::new(3, 0.25);
        let uniform = 0.25f64.log10();
        assert_eq!(cache.mix(4, uniform), uniform);
        for word in [5, 5, 6] {
            cache.mix(word, uniform);
        }
        let p = |word| 10f64.powf(cache.log10(word, uniform));
        assert!((p(5) - (0.1875 + 0.25 * 2.0 / 3.0)).abs() < 1e-12 && (p(4) - 0.1875).abs() < 1e-12);
        assert!((p(4) + p(5) + p(6) + p(7) - 1.0).abs() < 1e-12);
    }
}
