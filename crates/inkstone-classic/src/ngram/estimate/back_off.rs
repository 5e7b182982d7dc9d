//! Smoothing that asks the shorter history only where the longer one is silent: the weight of the shorter history is what
//! makes the sum over the vocabulary one, so it needs the shorter history's probabilities first.

use crate::error::Result;
use crate::ngram::count::{Entry, Key, Packing, Room, Sorter, Spool};
use crate::ngram::estimate::histories::by_history;
use crate::ngram::estimate::join::{Ahead, extend, finish};
use crate::ngram::smoothing::Smoothing;

/// How the words after one history share its probability with the shorter history.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shares {
    /// What the seen words' frequencies are multiplied with.
    pub scale: f64,
    /// What the shorter history's probabilities of the other words are multiplied with.
    pub weight: f64,
}

/// The smallest mass that counts as some.
const NOTHING: f64 = 1e-12;

impl Shares {
    /// Of a history after which the seen words have `seen` together, and `below` together after the shorter history.
    /// `total` is the sum of the counts after the history.
    pub fn new(smoothing: Smoothing, seen: f64, below: f64, total: f64) -> Self {
        let unseen = 1.0 - below;
        if unseen < NOTHING {
            return Self { scale: 1.0 / seen, weight: 1.0 };
        }
        if let Smoothing::StupidBackoff(alpha) = smoothing {
            let sum = seen + alpha * unseen;
            return Self { scale: 1.0 / sum, weight: alpha / sum };
        }
        // Where no count was discounted, one occurrence of something else is assumed.
        let scale = if 1.0 - seen < NOTHING { total / (total + 1.0) } else { 1.0 };
        Self { scale, weight: (1.0 - seen * scale) / unseen }
    }
}

/// Shares out the probability after each history of an order; finishes the shorter order on the way.
///
/// The `longer` n-grams come with their frequency and with the sum of the counts after their history.
pub(super) fn back_off<K: Key>(
    shorter: impl Iterator<Item = Result<Entry<K, f64>>>,
    longer: impl Iterator<Item = Result<Entry<K, [f64; 2]>>>,
    smoothing: Smoothing,
    (packing, room, order): (Packing, &Room, usize),
    finished: impl FnMut(K, f64, f64) -> Result<()>,
) -> Result<Spool<K, f64>> {
    let room = room.share(4);
    let mut kept = Spool::new(room.clone(), packing.bytes(order - 1));
    let mut paired = Sorter::new(room.clone(), packing.bytes(order));
    let mut longer = Ahead::new(longer)?;
    for entry in shorter {
        let Entry { key, value: probability } = entry?;
        kept.push(key, probability)?;
        extend((key, probability), &mut longer, packing, |key, [frequency, total], below| {
            paired.push(packing.to_context(key, order), [frequency, total, below])
        })?;
    }
    let mut weights = Spool::new(room.clone(), packing.bytes(order - 1));
    let mut shared = Sorter::new(room.clone(), packing.bytes(order));
    by_history(paired.sorted()?, packing, |history, group: &[Entry<K, [f64; 3]>]| {
        let sum = |i: usize| group.iter().map(|entry| entry.value[i]).sum::<f64>();
        let shares = Shares::new(smoothing, sum(0), sum(2), group[0].value[1]);
        weights.push(history, shares.weight)?;
        group
            .iter()
            .try_for_each(|entry| shared.push(packing.to_suffix(entry.key, order), entry.value[0] * shares.scale))
    })?;
    finish(kept.read()?, weights.read()?, finished)?;
    let mut probabilities = Spool::new(room, packing.bytes(order));
    shared.sorted()?.try_for_each(|entry| entry.and_then(|entry| probabilities.push(entry.key, entry.value)))?;
    Ok(probabilities)
}
