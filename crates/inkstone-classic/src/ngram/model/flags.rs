//! Which n-grams are parts of longer ones: where there is none, a query need not look for it.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use super::table::{Table, suffix_order, words};
use crate::ngram::vocabulary::WordId;

/// Of one n-gram.
#[derive(Debug, Clone, Copy, Default)]
pub struct Flags {
    /// A longer one ends with it.
    pub extends_left: bool,
    /// A longer one begins with it, or it has a weight as a history.
    pub extends_right: bool,
}

/// Of every n-gram of an order.
pub(super) fn flags(table: &Table, order: usize) -> Vec<Flags> {
    let block = &table.orders[order - 1];
    let mut flags: Vec<Flags> = (0..block.len())
        .map(|i| Flags { extends_left: false, extends_right: block.log10_back_off[i] != 0.0 })
        .collect();
    let Some(longer) = table.orders.get(order) else { return vec![Flags::default(); block.len()] };
    let mut at = 0;
    let mut histories: HashSet<u64, BuildHasherDefault<Identity>> = HashSet::default();
    for i in 0..longer.len() {
        let ngram = words(longer, i);
        // Both lists are in suffix order, and endings are always there.
        while suffix_order(words(block, at), &ngram[1..]).is_lt() {
            at += 1;
        }
        flags[at].extends_left = true;
        histories.insert(hash(&ngram[..order]));
    }
    for (i, flags) in flags.iter_mut().enumerate() {
        // A collision costs a look-up in vain and nothing else.
        flags.extends_right |= histories.contains(&hash(words(block, i)));
    }
    flags
}

/// A hash of an n-gram, from its last word leftwards.
pub(super) fn hash(ngram: &[WordId]) -> u64 {
    ngram.iter().rev().fold(0, |hash, &word| extend_hash(hash, word))
}

/// The hash of an n-gram with one more word on the left.
pub(super) fn extend_hash(hash: u64, word: WordId) -> u64 {
    let mixed = (hash ^ (u64::from(word) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// Hashes hashes.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, &byte| extend_hash(hash, byte.into()));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
