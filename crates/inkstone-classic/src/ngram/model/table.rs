//! All n-grams of a model in memory, sorted, complete: what query structures are built from.

use std::cmp::Ordering;

use crate::error::Result;
use crate::ngram::estimate::{Block, Estimate};
use crate::ngram::vocabulary::{Vocabulary, WordId};

/// A back-off model as sorted lists. Every order is sorted by the last word, then the one before it, and so on, and with an
/// n-gram its ending (without the first word) is always there too.
#[derive(Debug, Clone)]
pub struct Table {
    pub(in crate::ngram) vocabulary: Vocabulary,
    pub(in crate::ngram) orders: Vec<Block>,
}

impl Table {
    /// Sorts the n-grams and adds endings that are missing, with the probability that backing off would have given.
    ///
    /// # Errors
    /// The n-gram that comes twice.
    pub fn new(vocabulary: Vocabulary, mut orders: Vec<Block>) -> Result<Self, String> {
        for block in &mut orders {
            sort(block);
            if let Some(twice) = (1..block.len()).find(|&i| words(block, i - 1) == words(block, i)) {
                let words: Vec<&str> = words(block, twice).iter().map(|&word| vocabulary.word(word)).collect();
                return Err(format!("{:?} twice", words.join(" ")));
            }
        }
        let mut table = Self { vocabulary, orders };
        table.close();
        Ok(table)
    }

    /// The n-grams of an estimated model.
    pub fn of(estimate: Estimate) -> Result<Self> {
        let mut orders: Vec<Block> = (1..=estimate.order()).map(|order| Block { order, ..Block::default() }).collect();
        let vocabulary = estimate.read(|_, block| {
            let all = &mut orders[block.order - 1];
            all.words.extend_from_slice(&block.words);
            all.log10_probability.extend_from_slice(&block.log10_probability);
            all.log10_back_off.extend_from_slice(&block.log10_back_off);
            Ok(())
        })?;
        Ok(Self { vocabulary, orders })
    }

    /// Words of the longest n-grams.
    pub fn order(&self) -> usize {
        self.orders.len()
    }

    /// Its words.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// How many n-grams of each order there are.
    pub fn counts(&self) -> Vec<u64> {
        self.orders.iter().map(|block| block.len() as u64).collect()
    }

    /// Its n-grams, order by order.
    pub fn blocks(&self) -> &[Block] {
        &self.orders
    }

    /// Where an n-gram is in the list of its order.
    pub fn find(&self, ngram: &[WordId]) -> Option<usize> {
        let block = self.orders.get(ngram.len().checked_sub(1)?)?;
        let (mut low, mut high) = (0, block.len());
        while low < high {
            let middle = low.midpoint(high);
            match suffix_order(words(block, middle), ngram) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// log₁₀ of the probability of the last word after the others, from the longest ending that is there.
    pub fn log10_probability(&self, ngram: &[WordId]) -> f64 {
        if let Some(i) = self.find(ngram) {
            return self.orders[ngram.len() - 1].log10_probability[i];
        }
        if ngram.len() == 1 {
            return f64::NEG_INFINITY;
        }
        self.log10_back_off(&ngram[..ngram.len() - 1]) + self.log10_probability(&ngram[1..])
    }

    /// log₁₀ of the weight that a history leaves to the shorter one.
    pub fn log10_back_off(&self, history: &[WordId]) -> f64 {
        self.find(history).map_or(0.0, |i| self.orders[history.len() - 1].log10_back_off[i])
    }

    fn close(&mut self) {
        for k in (1..self.order()).rev() {
            let longer = &self.orders[k];
            let mut missing: Vec<WordId> = Vec::new();
            for i in 0..longer.len() {
                let ending = &words(longer, i)[1..];
                let added = missing.len() >= k && &missing[missing.len() - k..] == ending;
                if !added && self.find(ending).is_none() {
                    missing.extend_from_slice(ending);
                }
            }
            if !missing.is_empty() {
                self.add(k, &missing);
            }
        }
        // From the lowest order on, now that what they back off to is there.
        for k in 1..self.order() {
            for i in 0..self.orders[k].len() {
                if self.orders[k].log10_probability[i].is_nan() {
                    let ngram = words(&self.orders[k], i).to_vec();
                    let backed_off = self.log10_back_off(&ngram[..k]) + self.log10_probability(&ngram[1..]);
                    self.orders[k].log10_probability[i] = backed_off;
                }
            }
        }
    }

    /// Adds n-grams whose probability is still to be found.
    fn add(&mut self, order: usize, ngrams: &[WordId]) {
        let block = &mut self.orders[order - 1];
        let n = ngrams.len() / order;
        block.words.extend_from_slice(ngrams);
        block.log10_probability.extend(std::iter::repeat_n(f64::NAN, n));
        block.log10_back_off.extend(std::iter::repeat_n(0.0, n));
        sort(block);
    }
}

/// The words of an n-gram of a block.
pub(in crate::ngram) fn words(block: &Block, i: usize) -> &[WordId] {
    &block.words[i * block.order..(i + 1) * block.order]
}

/// By the last word, then the one before it, …
pub(in crate::ngram) fn suffix_order(a: &[WordId], b: &[WordId]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

fn sort(block: &mut Block) {
    if (1..block.len()).all(|i| suffix_order(words(block, i - 1), words(block, i)).is_lt()) {
        return;
    }
    let mut order: Vec<usize> = (0..block.len()).collect();
    order.sort_by(|&a, &b| suffix_order(words(block, a), words(block, b)));
    block.words = order.iter().flat_map(|&i| words(block, i)).copied().collect();
    block.log10_probability = order.iter().map(|&i| block.log10_probability[i]).collect();
    block.log10_back_off = order.iter().map(|&i| block.log10_back_off[i]).collect();
}
