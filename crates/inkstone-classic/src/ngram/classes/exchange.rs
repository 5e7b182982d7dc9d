//! Finding classes by exchange.

use std::collections::BTreeMap;

use crate::ngram::vocabulary::WordId;

/// How often each pair of adjacent words occurs, from both sides.
#[derive(Debug, Clone, Default)]
pub struct Bigrams {
    /// By the first word: the words after it with counts.
    after: Vec<Vec<(WordId, u64)>>,
    /// By the second word: the words before it with counts.
    before: Vec<Vec<(WordId, u64)>>,
    /// How often each word occurs.
    counts: Vec<u64>,
}

impl Bigrams {
    /// Counts the pairs of sentences over a vocabulary of `vocabulary` words.
    pub fn count<'a>(sentences: impl Iterator<Item = &'a [WordId]>, vocabulary: usize) -> Self {
        let mut pairs: BTreeMap<(WordId, WordId), u64> = BTreeMap::new();
        let mut counts = vec![0; vocabulary];
        for sentence in sentences {
            for &word in sentence {
                counts[word as usize] += 1;
            }
            for pair in sentence.windows(2) {
                *pairs.entry((pair[0], pair[1])).or_default() += 1;
            }
        }
        let mut bigrams = Self { after: vec![Vec::new(); vocabulary], before: vec![Vec::new(); vocabulary], counts };
        for ((first, second), count) in pairs {
            bigrams.after[first as usize].push((second, count));
            bigrams.before[second as usize].push((first, count));
        }
        bigrams
    }

    /// How often each word occurs.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// Puts the words of `movable` into `classes` classes; all others stay in class 0, by themselves. Every word is moved, in
/// turn, to the class where it helps most, until nothing moves or so many rounds are over. Returns the class of each word.
pub fn exchange(bigrams: &Bigrams, movable: &[WordId], classes: usize, rounds: usize) -> Vec<u32> {
    let mut words: Vec<WordId> = movable.to_vec();
    words.sort_by_key(|&word| (std::cmp::Reverse(bigrams.counts[word as usize]), word));
    let mut state = Clustering::new(bigrams, &words, classes + 1);
    for _ in 0..rounds {
        let moved = words.iter().filter(|&&word| state.improve(word)).count();
        if moved == 0 {
            break;
        }
    }
    state.class
}

struct Clustering<'a> {
    bigrams: &'a Bigrams,
    /// Classes, class 0 included.
    n: usize,
    class: Vec<u32>,
    /// Words of each class.
    members: Vec<usize>,
    /// Pairs of adjacent classes, `first · n + second`.
    pairs: Vec<u64>,
    /// Occurrences as the first and as the second of a pair.
    first: Vec<u64>,
    second: Vec<u64>,
}

/// How often a word stands beside each class.
struct Neighbours {
    after: Vec<(usize, u64)>,
    before: Vec<(usize, u64)>,
    /// The word twice in a row.
    own: u64,
}

impl<'a> Clustering<'a> {
    /// The most frequent words begin alone, the others in turn.
    fn new(bigrams: &'a Bigrams, words: &[WordId], n: usize) -> Self {
        let mut class = vec![0; bigrams.counts.len()];
        let mut members = vec![0; n];
        for (i, &word) in words.iter().enumerate() {
            class[word as usize] = (1 + i % (n - 1)) as u32;
            members[class[word as usize] as usize] += 1;
        }
        let mut state =
            Self { bigrams, n, class, members, pairs: vec![0; n * n], first: vec![0; n], second: vec![0; n] };
        for (word, after) in bigrams.after.iter().enumerate() {
            for &(next, count) in after {
                state.add(state.class[word] as usize, state.class[next as usize] as usize, count);
            }
        }
        state
    }

    fn add(&mut self, first: usize, second: usize, count: u64) {
        self.pairs[first * self.n + second] += count;
        self.first[first] += count;
        self.second[second] += count;
    }

    fn take(&mut self, first: usize, second: usize, count: u64) {
        self.pairs[first * self.n + second] -= count;
        self.first[first] -= count;
        self.second[second] -= count;
    }

    /// Moves a word to its best class; whether that is another one.
    fn improve(&mut self, word: WordId) -> bool {
        let from = self.class[word as usize] as usize;
        if self.members[from] == 1 {
            return false;
        }
        let neighbours = self.neighbours(word);
        self.shift(from, &neighbours, Self::take);
        let mut best = (from, self.gain(from, &neighbours));
        for to in (1..self.n).filter(|&to| to != from) {
            let gain = self.gain(to, &neighbours);
            // A hair more, so that rounding does not move words in circles.
            if gain > best.1 + 1e-7 {
                best = (to, gain);
            }
        }
        self.shift(best.0, &neighbours, Self::add);
        self.class[word as usize] = best.0 as u32;
        self.members[from] -= 1;
        self.members[best.0] += 1;
        best.0 != from
    }

    fn neighbours(&self, word: WordId) -> Neighbours {
        let sum = |pairs: &[(WordId, u64)]| {
            let mut by_class: BTreeMap<usize, u64> = BTreeMap::new();
            for &(other, count) in pairs.iter().filter(|(other, _)| *other != word) {
                *by_class.entry(self.class[other as usize] as usize).or_default() += count;
            }
            by_class.into_iter().collect()
        };
        let after = &self.bigrams.after[word as usize];
        let own = after.iter().find(|(other, _)| *other == word).map_or(0, |(_, count)| *count);
        Neighbours { after: sum(after), before: sum(&self.bigrams.before[word as usize]), own }
    }

    /// Adds the word's pairs to a class, or takes them away.
    fn shift(&mut self, class: usize, neighbours: &Neighbours, how: fn(&mut Self, usize, usize, u64)) {
        neighbours.after.iter().for_each(|&(other, count)| how(self, class, other, count));
        neighbours.before.iter().for_each(|&(other, count)| how(self, other, class, count));
        how(self, class, class, neighbours.own);
    }

    /// How Σ N(c,d) log N(c,d) − Σ N(c) log N(c) grows with the word in a class that it is not in.
    fn gain(&self, class: usize, neighbours: &Neighbours) -> f64 {
        let grown = |from: u64, by: u64| x_log_x(from + by) - x_log_x(from);
        let mut gain = 0.0;
        let mut own = neighbours.own;
        let mut sums = [neighbours.own; 2];
        for &(other, count) in &neighbours.after {
            sums[0] += count;
            if other == class { own += count } else { gain += grown(self.pairs[class * self.n + other], count) }
        }
        for &(other, count) in &neighbours.before {
            sums[1] += count;
            if other == class { own += count } else { gain += grown(self.pairs[other * self.n + class], count) }
        }
        gain + grown(self.pairs[class * self.n + class], own)
            - grown(self.first[class], sums[0])
            - grown(self.second[class], sums[1])
    }
}

fn x_log_x(n: u64) -> f64 {
    if n == 0 { 0.0 } else { n as f64 * (n as f64).ln() }
}

#[cfg(test)]
mod tests {
    use super::{Bigrams, exchange};

    #[test]
    fn words_that_stand_in_the_same_places_share_a_class() {
        // Articles 3 4, nouns 5 6 7, verbs 8 9: every sentence is one of each.
        let mut sentences: Vec<Vec<u32>> = Vec::new();
        for i in 0..60u32 {
            sentences.push(vec![1, 3 + i % 2, 5 + i % 3, 8 + i / 2 % 2, 2]);
        }
        let bigrams = Bigrams::count(sentences.iter().map(Vec::as_slice), 10);
        let class = exchange(&bigrams, &[3, 4, 5, 6, 7, 8, 9], 3, 20);
        assert!(
            class[3] == class[4] && class[5] == class[6] && class[6] == class[7] && class[8] == class[9],
            "{class:?}"
        );
        assert!(class[3] != class[5] && class[5] != class[8] && class[3] != class[8] && class[0] == 0);
    }
}
