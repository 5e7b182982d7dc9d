//! The fast structure: a hash table with linear probing over small buckets for each order (Heafield 2011, section 3.1). An n-gram is
//! known by its 64-bit hash alone: among a billion n-grams, a word that was never seen is taken for one that was with a
//! chance of 10⁻¹⁰.

use bytemuck::{Pod, Zeroable};

use super::flags::{Flags, extend_hash, flags, hash};
use super::score::{Lookup, Weights};
use super::section::Section;
use super::table::{Table, words};
use crate::ngram::vocabulary::{BEGIN, END, UNKNOWN, WordId};

/// An n-gram in a table: its hash, 0 in an empty place, and two logarithms with what their signs tell beside them.
pub trait Slot: Pod + Send + Sync {
    /// Of an n-gram.
    fn new(hash: u64, probability: f64, back_off: f64, flags: Flags) -> Self;
    /// Its hash.
    fn hash(&self) -> u64;
    /// What is known of it.
    fn weights(&self) -> Weights;
}

/// In single precision, as in files.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Slot32 {
    hash: u64,
    probability: f32,
    back_off: f32,
}

/// In double precision, for models that were read from text.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub struct Slot64 {
    hash: u64,
    probability: f64,
    back_off: f64,
}

macro_rules! slot {
    ($slot:ty, $float:ty) => {
        impl Slot for $slot {
            fn new(hash: u64, probability: f64, back_off: f64, flags: Flags) -> Self {
                let sign = |negative: bool| if negative { -1.0 } else { 1.0 };
                let back_off = back_off as $float;
                Self {
                    hash,
                    // Never above zero, so its sign is free: negative if a longer n-gram ends with this one.
                    probability: (probability as $float).copysign(sign(flags.extends_left)),
                    // −0 if no longer n-gram begins with this one.
                    back_off: if back_off == 0.0 { back_off.copysign(sign(!flags.extends_right)) } else { back_off },
                }
            }

            fn hash(&self) -> u64 {
                self.hash
            }

            #[inline]
            fn weights(&self) -> Weights {
                Weights {
                    probability: -f64::from(self.probability.abs()),
                    back_off: f64::from(self.back_off),
                    extends_left: self.probability.is_sign_negative(),
                    extends_right: self.back_off != 0.0 || self.back_off.is_sign_positive(),
                }
            }
        }
    };
}

slot!(Slot32, f32);
slot!(Slot64, f64);

/// Places for each n-gram.
const ROOM: f64 = 1.5;

/// The tables.
#[derive(Debug, Clone)]
pub struct Probing<S> {
    /// By id.
    unigrams: Section<S>,
    /// From order 2 on.
    orders: Vec<Section<S>>,
}

impl<S: Slot> Probing<S> {
    /// Builds the tables.
    pub fn new(table: &Table) -> Self {
        let slots = |order: usize| {
            let block = &table.blocks()[order - 1];
            let flags = flags(table, order);
            (0..block.len()).map(move |i| {
                let (probability, back_off) = (block.log10_probability[i], block.log10_back_off[i]);
                S::new(hash(words(block, i)).max(1), probability, back_off, flags[i])
            })
        };
        let orders = (2..=table.order()).map(|order| fill(table.blocks()[order - 1].len(), slots(order)).into());
        Self { orders: orders.collect(), unigrams: slots(1).collect::<Vec<_>>().into() }
    }

    /// From the parts of a file: unigrams, then each order's table.
    pub(super) fn from_sections(mut sections: Vec<Section<S>>) -> Self {
        let orders = sections.split_off(1);
        Self { unigrams: sections.remove(0), orders }
    }

    /// Unigrams, then each order's table.
    pub(super) fn sections(&self) -> impl Iterator<Item = &[S]> {
        std::iter::once(&self.unigrams).chain(&self.orders).map(|section| &**section)
    }

    /// For queries.
    pub fn view(&self) -> ProbingView<'_, S> {
        ProbingView { unigrams: &self.unigrams, orders: self.orders.iter().map(|order| &**order).collect() }
    }
}

/// Places that lie in one line of the cache. They are filled from the first on, and looked at together: which of them it is
/// takes no guess of the processor.
const BUCKET: usize = 4;

fn fill<S: Slot>(len: usize, slots: impl Iterator<Item = S>) -> Vec<S> {
    let buckets = (len as f64 * ROOM / BUCKET as f64) as usize + 1;
    let mut places = vec![S::zeroed(); buckets * BUCKET];
    for slot in slots {
        let mut at = bucket(slot.hash(), buckets) * BUCKET;
        while places[at].hash() != 0 {
            at = if at + 1 == places.len() { 0 } else { at + 1 };
        }
        places[at] = slot;
    }
    places
}

/// Where the search for a hash begins.
#[inline]
fn bucket(hash: u64, buckets: usize) -> usize {
    ((u128::from(hash) * buckets as u128) >> 64) as usize
}

/// The slot of a hash.
#[inline]
fn find<S: Slot>(places: &[S], hash: u64) -> Option<&S> {
    let (buckets, _) = places.as_chunks::<BUCKET>();
    let mut at = bucket(hash, buckets.len());
    // A damaged file may have no empty place: one round is enough.
    for _ in 0..buckets.len() {
        let slots = &buckets[at];
        let found = (0..BUCKET).fold(BUCKET, |found, n| if slots[n].hash() == hash { n } else { found });
        if let Some(slot) = slots.get(found) {
            return Some(slot);
        }
        if slots[BUCKET - 1].hash() == 0 {
            break;
        }
        at = if at + 1 == buckets.len() { 0 } else { at + 1 };
    }
    None
}

/// Tables that are asked.
#[derive(Debug, Clone)]
pub struct ProbingView<'a, S> {
    unigrams: &'a [S],
    orders: Vec<&'a [S]>,
}

impl<S: Slot> Lookup for ProbingView<'_, S> {
    type Node = u64;

    fn order(&self) -> usize {
        self.orders.len() + 1
    }

    #[inline]
    fn unigram(&self, word: WordId) -> (u64, Weights) {
        let slot = self.unigrams.get(word as usize).unwrap_or(&self.unigrams[UNKNOWN as usize]);
        (extend_hash(0, word), slot.weights())
    }

    #[inline]
    fn extend(&self, node: u64, order: usize, word: WordId) -> Option<(u64, Weights)> {
        let hash = extend_hash(node, word);
        let slot = find(self.orders.get(order - 2)?, hash.max(1))?;
        Some((hash, slot.weights()))
    }

    /// Reads the places where the n-grams of all orders will be looked for. None of these reads waits for another, so that their
    /// way from memory is one.
    fn expect(&self, words: &[WordId], new: usize) {
        let mut seen = 0;
        for n in words.len() - new..words.len() {
            seen ^= self.unigrams.get(words[n] as usize).map_or(0, Slot::hash);
            let mut node = extend_hash(0, words[n]);
            for (places, &earlier) in self.orders.iter().zip(words[..n].iter().rev()) {
                node = extend_hash(node, if earlier == END { BEGIN } else { earlier });
                let at = bucket(node.max(1), places.len() / BUCKET) * BUCKET;
                seen ^= places.get(at).map_or(0, Slot::hash);
                if earlier == END {
                    break;
                }
            }
        }
        std::hint::black_box(seen);
    }
}
