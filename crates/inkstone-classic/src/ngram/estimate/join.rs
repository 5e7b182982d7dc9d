//! Joining an order with the next lower one. Both are in suffix order, so the n-grams that end with a given shorter
//! n-gram follow each other, and one walk over both is enough.

use crate::error::Result;
use crate::ngram::count::{Entry, Key, Packing, Room, Spool};

/// A sequence of which the next entry can be seen.
pub(super) struct Ahead<I: Iterator<Item = Result<Entry<K, V>>>, K, V> {
    entries: I,
    next: Option<Entry<K, V>>,
}

impl<K: Key, V: Copy, I: Iterator<Item = Result<Entry<K, V>>>> Ahead<I, K, V> {
    pub(super) fn new(mut entries: I) -> Result<Self> {
        let next = entries.next().transpose()?;
        Ok(Self { entries, next })
    }

    /// The next entry, if `wanted`.
    pub(super) fn next_if(&mut self, wanted: impl FnOnce(K) -> bool) -> Result<Option<Entry<K, V>>> {
        match self.next {
            Some(entry) if wanted(entry.key) => {
                self.next = self.entries.next().transpose()?;
                Ok(Some(entry))
            }
            _ => Ok(None),
        }
    }

    /// The value of `key`, if it comes; what lies before it is passed over.
    pub(super) fn seek(&mut self, key: K) -> Result<Option<V>> {
        while self.next_if(|next| next < key)?.is_some() {}
        Ok(self.next_if(|next| next == key)?.map(|entry| entry.value))
    }
}

/// The finished n-grams of one order in suffix order: log₁₀ of probability and of back-off weight.
pub(super) type Finished<K> = Spool<K, [f64; 2]>;

/// Gives the n-grams of an order the weights that they have as histories.
pub(super) fn finish<K: Key>(
    probabilities: impl Iterator<Item = Result<Entry<K, f64>>>,
    weights: impl Iterator<Item = Result<Entry<K, f64>>>,
    mut then: impl FnMut(K, f64, f64) -> Result<()>,
) -> Result<()> {
    let mut weights = Ahead::new(weights)?;
    for entry in probabilities {
        let entry = entry?;
        let weight = weights.seek(entry.key)?.unwrap_or(1.0);
        then(entry.key, entry.value, weight)?;
    }
    Ok(())
}

/// Computes, with `then`, the probabilities of an order from its own values and those of the n-grams without the first word.
pub(super) fn extend<K: Key, V: Copy>(
    shorter: (K, f64),
    longer: &mut Ahead<impl Iterator<Item = Result<Entry<K, V>>>, K, V>,
    packing: Packing,
    mut then: impl FnMut(K, V, f64) -> Result<()>,
) -> Result<()> {
    while let Some(entry) = longer.next_if(|key| packing.suffix(key) == shorter.0)? {
        then(entry.key, entry.value, shorter.1)?;
    }
    Ok(())
}

/// Adds to each n-gram of an order its share of the shorter one's probability; finishes the shorter order on the way.
pub(super) fn interpolate<K: Key>(
    shorter: impl Iterator<Item = Result<Entry<K, f64>>>,
    weights: Spool<K, f64>,
    longer: impl Iterator<Item = Result<Entry<K, [f64; 2]>>>,
    (packing, room, order): (Packing, &Room, usize),
    mut finished: impl FnMut(K, f64, f64) -> Result<()>,
) -> Result<Spool<K, f64>> {
    let mut probabilities = Spool::new(room.clone(), packing.bytes(order));
    let mut longer = Ahead::new(longer)?;
    finish(shorter, weights.read()?, |key, probability, weight| {
        extend((key, probability), &mut longer, packing, |key, [frequency, share], below| {
            probabilities.push(key, frequency + share * below)
        })?;
        finished(key, probability, weight)
    })?;
    Ok(probabilities)
}
