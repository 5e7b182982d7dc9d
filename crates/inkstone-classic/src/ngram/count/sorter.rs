//! Sorting more n-grams than fit into memory: sorted runs, then one merge.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use bytemuck::Pod;
use rayon::slice::ParallelSliceMut;

use super::key::Key;
use super::spool::{Entry, Room, Spool, SpoolReader, push_within};
use crate::error::Result;

/// Collects n-grams in any order and gives them back sorted. The same n-grams give the same
/// sequence, however many runs and threads there were, as long as no n-gram comes twice.
pub struct Sorter<K, V> {
    room: Room,
    key_bytes: usize,
    memory: Vec<Entry<K, V>>,
    runs: Vec<SpoolReader<K, V>>,
    len: u64,
}

impl<K: Key, V: Pod + Send + Sync> Sorter<K, V> {
    /// An empty one, for n-grams of `key_bytes` bytes.
    pub fn new(room: Room, key_bytes: usize) -> Self {
        Self { room, key_bytes, memory: Vec::new(), runs: Vec::new(), len: 0 }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one.
    pub fn push(&mut self, key: K, value: V) -> Result<()> {
        self.len += 1;
        let limit = self.room.capacity::<Entry<K, V>>();
        push_within(&mut self.memory, Entry { key, value }, limit);
        if self.memory.len() < limit {
            return Ok(());
        }
        self.sort();
        let mut run = Spool::new(Room { bytes: 0, ..self.room.clone() }, self.key_bytes);
        self.memory.drain(..).try_for_each(|entry| run.push(entry.key, entry.value))?;
        self.runs.push(run.read()?);
        Ok(())
    }

    fn sort(&mut self) {
        self.memory.par_sort_unstable_by_key(|entry| entry.key);
    }

    /// All of them, in ascending order.
    pub fn sorted(mut self) -> Result<Merged<K, V>> {
        self.sort();
        let last = Spool::of(self.memory, self.room, self.key_bytes);
        self.runs.push(last.read()?);
        Merged::new(self.runs)
    }
}

/// Sorted sequences as one. Where an n-gram occurs in several, it comes several times.
pub struct Merged<K, V> {
    runs: Vec<SpoolReader<K, V>>,
    /// The next entry of each run.
    heads: Vec<Option<Entry<K, V>>>,
    order: BinaryHeap<Reverse<(K, usize)>>,
}

impl<K: Key, V: Pod> Merged<K, V> {
    /// Begins to merge.
    pub fn new(mut runs: Vec<SpoolReader<K, V>>) -> Result<Self> {
        let heads: Vec<Option<Entry<K, V>>> =
            runs.iter_mut().map(|run| run.next().transpose()).collect::<Result<_>>()?;
        let order =
            heads.iter().enumerate().filter_map(|(run, head)| head.as_ref().map(|head| Reverse((head.key, run))));
        Ok(Self { order: order.collect(), runs, heads })
    }

    fn advance(&mut self) -> Result<Option<Entry<K, V>>> {
        if let [run] = self.runs.as_mut_slice() {
            let next = run.next().transpose()?;
            return Ok(std::mem::replace(&mut self.heads[0], next));
        }
        let Some(Reverse((_, run))) = self.order.pop() else { return Ok(None) };
        let next = self.runs[run].next().transpose()?;
        if let Some(next) = &next {
            self.order.push(Reverse((next.key, run)));
        }
        Ok(std::mem::replace(&mut self.heads[run], next))
    }
}

impl<K: Key, V: Pod> Iterator for Merged<K, V> {
    type Item = Result<Entry<K, V>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}
