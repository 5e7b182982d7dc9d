//! The counts of the lower orders, from the sorted n-grams of the highest one.
//!
//! In suffix order all n-grams with the same ending lie together, so one walk sees for each ending how often it occurs and
//! how many different words stand before it (Heafield et al. 2013, section 3.2).

use super::key::{Key, Packing};
use super::sorter::Sorter;
use super::spool::{Entry, Room};
use crate::error::Result;
use crate::ngram::smoothing::CountsOfCounts;
use crate::ngram::vocabulary::BEGIN;

/// Marks, in a count, an n-gram that is to be left out.
const PRUNED: u64 = 1 << 63;

/// A count, and whether its n-gram is left out.
pub(in crate::ngram) fn unmark(count: u64) -> (u64, bool) {
    (count & !PRUNED, count & PRUNED != 0)
}

/// The counts of all orders.
pub struct Adjusted<K> {
    /// By id; `<s>` has none.
    pub unigrams: Vec<u64>,
    /// Of the orders from 2 on, to be read in context order.
    pub orders: Vec<Sorter<K, u64>>,
    /// By the order from 1 on.
    pub counts_of_counts: Vec<CountsOfCounts>,
}

/// How lower orders are counted, and what is left out.
pub struct AdjustSettings<'a> {
    /// Number of words of the longest n-grams.
    pub order: usize,
    /// Words of the vocabulary.
    pub vocabulary: usize,
    /// Whether an n-gram's count is the number of different words before it.
    pub continuations: bool,
    /// By the order from 1 on: n-grams that occur so often or less are left out.
    pub prune: &'a [u64],
}

/// Walks over the n-grams of the highest order, in suffix order, and counts all orders.
pub fn adjust<K: Key>(
    ngrams: impl Iterator<Item = Result<Entry<K, u64>>>,
    settings: &AdjustSettings<'_>,
    packing: Packing,
    room: &Room,
) -> Result<Adjusted<K>> {
    let order = settings.order;
    let sorter = |k| Sorter::new(room.share(order), packing.bytes(k));
    let out = Adjusted {
        unigrams: vec![0; settings.vocabulary],
        orders: (2..=order).map(sorter).collect(),
        counts_of_counts: vec![CountsOfCounts::default(); order],
    };
    let mut walk = Walk { settings, packing, open: Vec::with_capacity(order), last: K::ZERO, out };
    for ngram in ngrams {
        walk.step(ngram?)?;
    }
    walk.close(0)?;
    Ok(walk.out)
}

/// What is known so far of an ending.
struct Ending {
    /// Different words before it.
    continuations: u64,
    /// Occurrences.
    occurrences: u64,
}

struct Walk<'a, K> {
    settings: &'a AdjustSettings<'a>,
    packing: Packing,
    /// The endings of `last`, of order 1, 2, …
    open: Vec<Ending>,
    last: K,
    out: Adjusted<K>,
}

impl<K: Key> Walk<'_, K> {
    fn step(&mut self, ngram: Entry<K, u64>) -> Result<()> {
        let order = self.settings.order;
        let word = |key: K, i: usize| self.packing.word_from_end(key, order, i);
        // An n-gram ends, to the left, with the first <s>.
        let len = (0..order).find(|&i| word(ngram.key, i) == BEGIN).map_or(order, |i| i + 1);
        let same = (0..len.min(self.open.len())).take_while(|&i| word(ngram.key, i) == word(self.last, i)).count();
        self.close(same)?;
        if let Some(ending) = self.open.last_mut() {
            ending.continuations += 1;
        }
        for ending in &mut self.open {
            ending.occurrences += ngram.value;
        }
        for _ in same + 1..len {
            self.open.push(Ending { continuations: 1, occurrences: ngram.value });
        }
        // Nothing stands before the longest one, or nothing is known of it.
        self.open.push(Ending { continuations: ngram.value, occurrences: ngram.value });
        self.last = ngram.key;
        Ok(())
    }

    /// Hands out all endings longer than `keep`.
    fn close(&mut self, keep: usize) -> Result<()> {
        while self.open.len() > keep {
            let k = self.open.len();
            if let Some(ending) = self.open.pop() {
                self.emit(k, &ending)?;
            }
        }
        Ok(())
    }

    fn emit(&mut self, k: usize, ending: &Ending) -> Result<()> {
        let count = if self.settings.continuations { ending.continuations } else { ending.occurrences };
        if let Some(n) = usize::try_from(count).ok().and_then(|count| self.out.counts_of_counts[k - 1].get_mut(count)) {
            *n += 1;
        }
        let key = self.last.shr(self.packing.bits * (self.settings.order - k) as u32);
        if k == 1 {
            self.out.unigrams[key.word() as usize] = count;
            return Ok(());
        }
        let pruned = ending.occurrences <= self.settings.prune.get(k - 1).copied().unwrap_or(0);
        self.out.orders[k - 2].push(self.packing.to_context(key, k), if pruned { count | PRUNED } else { count })
    }
}
