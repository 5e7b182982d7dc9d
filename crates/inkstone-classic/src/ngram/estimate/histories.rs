//! From counts to discounted probabilities: one walk in context order, in which all words after a history lie together.

use crate::error::Result;
use crate::ngram::count::{Entry, Key, Packing, Room, Sorter, Spool, unmark};
use crate::ngram::smoothing::{Discounts, Smoothing};

/// What is known of a history before its probabilities are.
#[derive(Debug, Clone, Copy, Default)]
pub struct History {
    /// Sum of the counts of all words after it.
    pub total: f64,
    /// How many different words came after it.
    pub types: f64,
    /// What those that are kept lose to discounts.
    pub discounted: f64,
    /// Counts of those that are left out.
    pub pruned: f64,
}

impl History {
    /// Sums over the words after a history.
    pub fn new(counts: impl Iterator<Item = (u64, bool)>, discounts: &Discounts) -> Self {
        let mut sums = Self::default();
        for (count, pruned) in counts {
            sums.total += count as f64;
            sums.types += 1.0;
            if pruned {
                sums.pruned += count as f64;
            } else {
                sums.discounted += discounts.of(count);
            }
        }
        sums
    }

    /// What the counts are divided by.
    pub fn denominator(&self, smoothing: Smoothing, predictable: usize) -> f64 {
        match smoothing {
            Smoothing::WittenBell => self.total + self.types,
            Smoothing::AddK(k) => self.total + k * predictable as f64,
            _ => self.total,
        }
    }

    /// The weight of the shorter history, where the smoothing interpolates.
    pub fn weight(&self, smoothing: Smoothing, predictable: usize) -> f64 {
        let freed = match smoothing {
            Smoothing::WittenBell => self.types,
            Smoothing::AddK(k) => k * predictable as f64,
            _ => self.discounted,
        };
        (freed + self.pruned) / self.denominator(smoothing, predictable)
    }
}

/// One order, ready to be joined with the next lower one.
pub(super) struct Discounted<K> {
    /// Of each n-gram, in suffix order: its discounted relative frequency, and the weight of the shorter history where
    /// the smoothing interpolates, else the sum of the counts after its history.
    pub ngrams: Sorter<K, [f64; 2]>,
    /// Of each history that some n-gram is kept for, in suffix order: its weight.
    pub weights: Spool<K, f64>,
}

/// How one order is discounted.
#[derive(Clone, Copy)]
pub(super) struct Discounting<'a> {
    /// Words of an n-gram.
    pub order: usize,
    /// How.
    pub smoothing: Smoothing,
    /// How much.
    pub discounts: &'a Discounts,
    /// Words that can be predicted.
    pub predictable: usize,
}

/// Discounts the n-grams of one order, given in context order.
pub(super) fn discount<K: Key>(
    counts: impl Iterator<Item = Result<Entry<K, u64>>>,
    how: Discounting<'_>,
    packing: Packing,
    room: &Room,
) -> Result<Discounted<K>> {
    let mut out = Discounted {
        ngrams: Sorter::new(room.clone(), packing.bytes(how.order)),
        weights: Spool::new(room.clone(), packing.bytes(how.order - 1)),
    };
    by_history(counts, packing, |history, group| {
        let sums = History::new(group.iter().map(|entry| unmark(entry.value)), how.discounts);
        let denominator = sums.denominator(how.smoothing, how.predictable);
        let weight = sums.weight(how.smoothing, how.predictable);
        let second = if how.smoothing.interpolates() { weight } else { sums.total };
        let mut kept = false;
        for entry in group {
            let (count, pruned) = unmark(entry.value);
            if !pruned {
                let frequency = (count as f64 - how.discounts.of(count)) / denominator;
                out.ngrams.push(packing.to_suffix(entry.key, how.order), [frequency, second])?;
                kept = true;
            }
        }
        if kept { out.weights.push(history, weight) } else { Ok(()) }
    })?;
    Ok(out)
}

/// Hands out the entries with the same history together; the entries are in context order.
pub(super) fn by_history<K: Key, V: Copy>(
    entries: impl Iterator<Item = Result<Entry<K, V>>>,
    packing: Packing,
    mut then: impl FnMut(K, &[Entry<K, V>]) -> Result<()>,
) -> Result<()> {
    let mut group: Vec<Entry<K, V>> = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Some(first) = group.first()
            && packing.suffix(first.key) != packing.suffix(entry.key)
        {
            then(packing.suffix(first.key), &group)?;
            group.clear();
        }
        group.push(entry);
    }
    group.first().map_or(Ok(()), |first| then(packing.suffix(first.key), &group))
}
