//! Which words there are, and how often.

use std::collections::HashMap;

/// Words by falling count; equally frequent ones in the order in which they first came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<Box<str>>,
    counts: Vec<u64>,
}

impl Vocabulary {
    /// Words with their counts, in the order of their ids.
    ///
    /// # Panics
    /// If there are not as many counts as words.
    pub fn new(words: Vec<Box<str>>, counts: Vec<u64>) -> Self {
        assert_eq!(words.len(), counts.len(), "a count for each word");
        Self { words, counts }
    }

    /// The words by id.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// How often each occurs, by id.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Occurrences of all words together.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The probability that an occurrence is kept: `(√(f / s) + 1) · s / f` for a word of frequency `f`, as
    /// in the original program (its paper has `√(s / f)`); 1 for all words where `sample` is 0.
    pub(crate) fn keep_probabilities(&self, sample: f64) -> Vec<f32> {
        let threshold = sample * self.total() as f64;
        let keep = |&count: &u64| {
            let ratio = threshold / count.max(1) as f64;
            if sample > 0.0 { (ratio.sqrt() + ratio).min(1.0) as f32 } else { 1.0 }
        };
        self.counts.iter().map(keep).collect()
    }
}

/// Gives words ids as they come.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    ids: HashMap<Box<str>, u32>,
    counts: Vec<u64>,
}

impl Interner {
    /// The id of `word`, one higher than all before if it is new.
    pub(crate) fn id(&mut self, word: &str) -> u32 {
        let id = self.ids.get(word).copied().unwrap_or_else(|| {
            let id = self.counts.len() as u32;
            self.ids.insert(word.into(), id);
            self.counts.push(0);
            id
        });
        self.counts[id as usize] += 1;
        id
    }

    /// The words that came at least `min_count` times by falling count, and for each id given so far its
    /// place among them.
    pub(crate) fn finish(self, min_count: u64) -> (Vocabulary, Vec<Option<u32>>) {
        let mut names: Vec<Box<str>> = vec![Box::default(); self.counts.len()];
        for (word, id) in self.ids {
            names[id as usize] = word;
        }
        let mut kept: Vec<u32> =
            (0..self.counts.len() as u32).filter(|&id| self.counts[id as usize] >= min_count).collect();
        kept.sort_by_key(|&id| (std::cmp::Reverse(self.counts[id as usize]), id));
        let mut places = vec![None; names.len()];
        for (place, &id) in kept.iter().enumerate() {
            places[id as usize] = Some(place as u32);
        }
        let words = kept.iter().map(|&id| std::mem::take(&mut names[id as usize])).collect();
        let counts = kept.iter().map(|&id| self.counts[id as usize]).collect();
        (Vocabulary { words, counts }, places)
    }
}
