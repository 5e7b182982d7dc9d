//! Counting the n-grams of a text that need not fit into memory.
//!
//! The words' ids ([`Sentences`]) are read once more when the vocabulary is complete; each sentence gives one n-gram of the
//! highest order a word, filled up with `<s>` on the left. They are packed ([`Key`]), sorted in runs and merged, which brings
//! equal ones together; the lower orders' counts follow from the sorted sequence ([`adjust`]).

mod adjust;
mod key;
mod sorter;
mod spool;
mod tokens;

pub(in crate::ngram) use adjust::unmark;
pub use adjust::{AdjustSettings, Adjusted, adjust};
pub use key::{Key, Packing, Wide};
pub use sorter::{Merged, Sorter};
pub use spool::{Entry, Room, Spool, SpoolReader};
pub use tokens::Sentences;

use rayon::slice::ParallelSliceMut;

use crate::error::Result;
use crate::ngram::talk::Talk;
use crate::ngram::vocabulary::{BEGIN, END, WordId};

/// The n-grams of `order` words of all sentences with their counts, in suffix order, each once.
pub fn count<K: Key>(
    sentences: Sentences,
    order: usize,
    (packing, room): (Packing, &Room),
    talk: Talk<'_>,
) -> Result<Unique<K>> {
    let begin = (0..order).fold(K::ZERO, |key, _| packing.push(key, BEGIN, order));
    let mut counter =
        Counter { room: room.clone(), key_bytes: packing.bytes(order), keys: Vec::new(), runs: Vec::new() };
    let capacity = (sentences.tokens() as usize).min(room.capacity::<K>());
    counter.keys.reserve_exact(capacity);
    let task = talk.progress.task("counting", Some(sentences.tokens()), "words");
    let (mut key, mut done) = (begin, 0);
    sentences.read(|words: &[WordId]| {
        talk.check()?;
        done += words.len() as u64;
        task.set(done);
        for &word in words {
            key = packing.push(key, word, order);
            counter.push(key)?;
            if word == END {
                key = begin;
            }
        }
        Ok(())
    })?;
    counter.finish()
}

/// Occurrences that are being sorted.
struct Counter<K> {
    room: Room,
    key_bytes: usize,
    keys: Vec<K>,
    runs: Vec<SpoolReader<K, u64>>,
}

impl<K: Key> Counter<K> {
    fn push(&mut self, key: K) -> Result<()> {
        self.keys.push(key);
        if self.keys.len() < self.room.capacity::<K>() {
            return Ok(());
        }
        let run = self.run(Room { bytes: 0, ..self.room.clone() })?;
        self.runs.push(run);
        self.keys.clear();
        Ok(())
    }

    /// What was collected, sorted, equal ones together.
    fn run(&mut self, room: Room) -> Result<SpoolReader<K, u64>> {
        self.keys.par_sort_unstable();
        let mut run = Spool::new(room, self.key_bytes);
        for equal in self.keys.chunk_by(|a, b| a == b) {
            run.push(equal[0], equal.len() as u64)?;
        }
        run.read()
    }

    fn finish(mut self) -> Result<Unique<K>> {
        // A single run stays where it is; the last of several goes to disk as the others did.
        let bytes = if self.runs.is_empty() { self.room.bytes } else { 0 };
        let last = self.run(Room { bytes, ..self.room.clone() })?;
        self.runs.push(last);
        Ok(Unique { entries: Merged::new(self.runs)?, next: None })
    }
}

/// Sorted n-grams, the counts of equal ones added.
pub struct Unique<K> {
    entries: Merged<K, u64>,
    next: Option<Entry<K, u64>>,
}

impl<K: Key> Iterator for Unique<K> {
    type Item = Result<Entry<K, u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut sum = match self.next.take() {
            Some(entry) => entry,
            None => match self.entries.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            },
        };
        for entry in self.entries.by_ref() {
            match entry {
                Ok(entry) if entry.key == sum.key => sum.value += entry.value,
                Ok(entry) => {
                    self.next = Some(entry);
                    break;
                }
                Err(error) => return Some(Err(error)),
            }
        }
        Some(Ok(sum))
    }
}
