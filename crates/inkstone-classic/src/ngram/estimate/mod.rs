//! Estimating a back-off model from sentences, in streams (Heafield et al. 2013): count and sort, adjust the counts,
//! discount them history by history, join each order with the next lower one. Nothing but the vocabulary must fit into memory.

mod back_off;
mod histories;
mod join;
mod unigrams;

use rayon::prelude::*;

pub use back_off::Shares;
pub use histories::History;
pub use unigrams::unigrams;

use self::histories::{Discounted, Discounting, discount};
use self::join::{Finished, finish};
use super::count::{self, AdjustSettings, Adjusted, Entry, Key, Packing, Room, Sentences, Spool, Wide, adjust};
use super::smoothing::{Discounts, Smoothing};
use super::talk::Talk;
use super::vocabulary::{Vocabulary, WordId};
use crate::error::{ClassicError, Result};

/// What is estimated, and how.
#[derive(Debug, Clone)]
pub struct Training {
    /// Words of the longest n-grams.
    pub order: usize,
    /// How probability is moved to what was not seen.
    pub smoothing: Smoothing,
    /// By the order, from 1 on: n-grams that occur so often or less are left out. Orders beyond take the last entry.
    pub prune: Vec<u64>,
    /// Bytes that the estimation may take, the vocabulary included, and where it goes on past them.
    pub room: Room,
}

impl Training {
    /// Refuses what can't work.
    pub fn check(&self) -> Result<()> {
        let wrong = |field, got: String, expected: &str| {
            Err(ClassicError::Setting { field, got, expected: expected.to_owned() })
        };
        if self.order == 0 || self.order > LONGEST {
            return wrong("order", self.order.to_string(), &format!("1 to {LONGEST}"));
        }
        if self.prune.first().is_some_and(|&least| least > 0) || !self.prune.is_sorted() {
            return wrong("prune", format!("{:?}", self.prune), "0 first, and nowhere less than before");
        }
        match self.smoothing {
            Smoothing::AddK(x) | Smoothing::StupidBackoff(x) if !(x > 0.0 && x.is_finite()) => {
                wrong("smoothing", x.to_string(), "a number above 0")
            }
            _ => Ok(()),
        }
    }

    fn threshold(&self, order: usize) -> u64 {
        self.prune.get(order - 1).or(self.prune.last()).copied().unwrap_or(0)
    }
}

/// The longest n-grams that are estimated.
pub const LONGEST: usize = 32;

/// N-grams of one order, in the order of their last word, then the one before it, and so on.
#[derive(Debug, Clone, Default)]
pub struct Block {
    /// Words of an n-gram.
    pub order: usize,
    /// Of each n-gram its words, first to last.
    pub words: Vec<WordId>,
    /// log₁₀ of the probability of the last word after the others.
    pub log10_probability: Vec<f64>,
    /// log₁₀ of the weight that the n-gram as a history leaves to the shorter one; 0 where it is no history.
    pub log10_back_off: Vec<f64>,
}

impl Block {
    /// How many n-grams it has.
    pub fn len(&self) -> usize {
        self.log10_probability.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// N-grams of a block at most.
const BLOCK: usize = 1 << 15;

/// An estimated model. Its n-grams can be read once.
pub struct Estimate {
    /// Its words.
    pub vocabulary: Vocabulary,
    /// What was subtracted from counts, by the order from 1 on.
    pub discounts: Vec<Discounts>,
    /// How many n-grams there are, by the order from 1 on.
    pub counts: Vec<u64>,
    unigrams: Vec<[f64; 2]>,
    orders: Box<dyn Orders>,
}

impl std::fmt::Debug for Estimate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Estimate").field("counts", &self.counts).finish_non_exhaustive()
    }
}

impl Estimate {
    /// Words of the longest n-grams.
    pub fn order(&self) -> usize {
        self.counts.len()
    }

    /// Hands out all n-grams, order by order, the vocabulary being theirs.
    pub fn read(self, mut then: impl FnMut(&Vocabulary, &Block) -> Result<()>) -> Result<Vocabulary> {
        for start in (0..self.unigrams.len()).step_by(BLOCK) {
            let part = &self.unigrams[start..self.unigrams.len().min(start + BLOCK)];
            let block = Block {
                order: 1,
                words: (start as WordId..).take(part.len()).collect(),
                log10_probability: part.iter().map(|x| x[0]).collect(),
                log10_back_off: part.iter().map(|x| x[1]).collect(),
            };
            then(&self.vocabulary, &block)?;
        }
        self.orders.read(&mut |block| then(&self.vocabulary, block))?;
        Ok(self.vocabulary)
    }
}

/// The orders from 2 on, whatever integer their n-grams are packed in.
trait Orders {
    fn read(self: Box<Self>, then: &mut dyn FnMut(&Block) -> Result<()>) -> Result<()>;
}

/// Order 1 by the id, and the orders from 2 on.
type AllOrders<K> = (Vec<[f64; 2]>, Vec<Finished<K>>);

struct Packed<K> {
    packing: Packing,
    orders: Vec<Finished<K>>,
}

impl<K: Key> Orders for Packed<K> {
    fn read(self: Box<Self>, then: &mut dyn FnMut(&Block) -> Result<()>) -> Result<()> {
        for (entries, order) in self.orders.into_iter().zip(2..) {
            let mut block = Block { order, ..Block::default() };
            for entry in entries.read()? {
                let Entry { key, value: [probability, back_off] } = entry?;
                block.words.extend(self.packing.words(key, order));
                block.log10_probability.push(probability);
                block.log10_back_off.push(back_off);
                if block.len() == BLOCK {
                    then(&block)?;
                    block.words.clear();
                    block.log10_probability.clear();
                    block.log10_back_off.clear();
                }
            }
            if !block.is_empty() {
                then(&block)?;
            }
        }
        Ok(())
    }
}

/// Estimates a model from sentences over a vocabulary.
pub fn estimate(sentences: Sentences, vocabulary: Vocabulary, training: &Training, talk: Talk<'_>) -> Result<Estimate> {
    training.check()?;
    let packing = Packing { bits: vocabulary.bits() };
    match packing.bits * training.order as u32 {
        0..=64 => Estimator::<u64>::new(&vocabulary, training, talk).run(sentences, vocabulary),
        65..=128 => Estimator::<u128>::new(&vocabulary, training, talk).run(sentences, vocabulary),
        129..=256 => Estimator::<Wide<2>>::new(&vocabulary, training, talk).run(sentences, vocabulary),
        _ => Estimator::<Wide<8>>::new(&vocabulary, training, talk).run(sentences, vocabulary),
    }
}

/// Bytes of the program itself, its threads and buffers.
const OVERHEAD: usize = 40 << 20;

struct Estimator<'a, K> {
    training: &'a Training,
    /// What is left for sorting.
    room: Room,
    packing: Packing,
    predictable: usize,
    talk: Talk<'a>,
    key: std::marker::PhantomData<K>,
}

impl<'a, K: Key> Estimator<'a, K> {
    fn new(vocabulary: &Vocabulary, training: &'a Training, talk: Talk<'a>) -> Self {
        let taken = OVERHEAD + vocabulary.memory() + vocabulary.len() * 2 * size_of::<f64>();
        // A tenth for what grows by copying.
        let bytes = training.room.bytes.saturating_sub(taken) / 10 * 9;
        Self {
            training,
            room: Room { bytes, ..training.room.clone() },
            packing: Packing { bits: vocabulary.bits() },
            predictable: vocabulary.predictable(),
            talk,
            key: std::marker::PhantomData,
        }
    }

    fn run(self, sentences: Sentences, vocabulary: Vocabulary) -> Result<Estimate> {
        let adjusted = self.count(sentences, vocabulary.len())?;
        let discounts: Vec<Discounts> =
            adjusted.counts_of_counts.iter().map(|n| Discounts::estimate(self.training.smoothing, n)).collect();
        let (unigrams, orders) = self.combine(adjusted, &discounts)?;
        let counts = std::iter::once(unigrams.len() as u64).chain(orders.iter().map(Spool::len)).collect();
        let orders: Box<dyn Orders> = Box::new(Packed { packing: self.packing, orders });
        Ok(Estimate { vocabulary, discounts, counts, unigrams, orders })
    }

    fn count(&self, sentences: Sentences, vocabulary: usize) -> Result<Adjusted<K>> {
        let training = self.training;
        let prune: Vec<u64> = (1..=training.order).map(|order| training.threshold(order)).collect();
        let settings = AdjustSettings {
            order: training.order,
            vocabulary,
            continuations: training.smoothing.counts_continuations(),
            prune: &prune,
        };
        // Sorting occurrences and holding what comes of it overlap.
        let room = self.room.share(2);
        let tokens = sentences.tokens();
        let ngrams = count::count::<K>(sentences, training.order, (self.packing, &room), self.talk)?;
        adjust(self.talk.watch("counting shorter ones", tokens, ngrams), &settings, self.packing, &room)
    }

    fn combine(&self, adjusted: Adjusted<K>, discounts: &[Discounts]) -> Result<AllOrders<K>> {
        let smoothing = self.training.smoothing;
        let room = self.room.share(4 * self.training.order);
        let orders: Vec<Discounted<K>> = adjusted
            .orders
            .into_par_iter()
            .zip(2..self.training.order + 1)
            .map(|(counts, order)| {
                let how =
                    Discounting { order, smoothing, discounts: &discounts[order - 1], predictable: self.predictable };
                let (name, len) = (format!("discounting {order}-grams"), counts.len());
                discount(self.talk.watch(&name, len, counts.sorted()?), how, self.packing, &room)
            })
            .collect::<Result<_>>()?;
        let first = unigrams(&adjusted.unigrams, smoothing, &discounts[0]);
        self.join(first, orders)
    }

    /// Order by order, each from the one below.
    fn join(&self, first: Vec<f64>, orders: Vec<Discounted<K>>) -> Result<AllOrders<K>> {
        let (packing, smoothing) = (self.packing, self.training.smoothing);
        let room = self.room.share(4 * self.training.order);
        let mut lower = Spool::new(room.clone(), packing.bytes(1));
        for (id, probability) in first.into_iter().enumerate() {
            lower.push(K::of(id as WordId), probability)?;
        }
        let mut finished: Vec<Finished<K>> = Vec::new();
        for (longer, order) in orders.into_iter().zip(2..) {
            let mut done = Spool::new(room.clone(), packing.bytes(order - 1));
            let push = |key, p: f64, weight: f64| done.push(key, logarithms(p, weight));
            let (len, at) = (longer.ngrams.len(), (packing, &room, order));
            let ngrams = self.talk.watch(&format!("smoothing {order}-grams"), len, longer.ngrams.sorted()?);
            lower = if smoothing.interpolates() {
                join::interpolate(lower.read()?, longer.weights, ngrams, at, push)?
            } else {
                back_off::back_off(lower.read()?, ngrams, smoothing, at, push)?
            };
            finished.push(done);
        }
        let mut done = Spool::new(room, packing.bytes(self.training.order));
        finish(lower.read()?, std::iter::empty(), |key, p, weight| done.push(key, logarithms(p, weight)))?;
        finished.push(done);
        let first = finished.remove(0).read()?.map(|entry| entry.map(|entry| entry.value)).collect::<Result<_>>()?;
        Ok((first, finished))
    }
}

fn logarithms(probability: f64, weight: f64) -> [f64; 2] {
    // Rounding may lift a certainty above one.
    [probability.log10().min(0.0), weight.log10()]
}
