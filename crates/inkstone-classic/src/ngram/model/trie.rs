//! The small structure: sorted, bit-packed lists, each n-gram below its ending (Heafield 2011, section 3.2; Whittaker and
//! Raj 2001 for the quantised form). Where the list below an n-gram begins is not stored as a pointer but as counts in
//! unary, about two bits an n-gram.

use super::bits::{BitWriter, Unary, read};
use super::flags::flags;
use super::quantise::{Codes, EXACT};
use super::score::{Lookup, Weights};
use super::section::Section;
use super::table::{Table, words};
use crate::ngram::vocabulary::{UNKNOWN, WordId};

/// One order.
#[derive(Debug, Clone)]
pub(super) struct Level {
    /// Of each n-gram: its first word (not at order 1, where the place tells), the codes of its logarithms (no back-off
    /// weight at the highest order).
    pub(super) records: Section<u8>,
    /// How many n-grams of the next order end with each one; none at the highest order.
    pub(super) below: Option<Unary>,
    pub(super) probability: Codes,
    pub(super) back_off: Codes,
}

/// The lists.
#[derive(Debug, Clone)]
pub struct Trie {
    pub(super) word_bits: u32,
    pub(super) len: Vec<u64>,
    pub(super) levels: Vec<Level>,
}

/// The code of the weight of an n-gram with which no longer one begins.
const NO_HISTORY: u64 = 0;

impl Trie {
    /// Builds the lists. `bits` is the width of a logarithm: 32, or less for the nearest of 2^bits values.
    pub fn new(table: &Table, bits: u32) -> Self {
        let word_bits = table.vocabulary().bits();
        let levels = (1..=table.order()).map(|order| Level::new(table, order, (bits, word_bits))).collect();
        Self { word_bits, len: table.counts(), levels }
    }

    /// Words of the longest n-grams.
    pub fn order(&self) -> usize {
        self.levels.len()
    }
}

/// Widths of the parts of a record.
#[derive(Clone, Copy)]
pub(super) struct Widths {
    word: u32,
    probability: u32,
    back_off: u32,
}

impl Widths {
    fn record(self) -> u64 {
        u64::from(self.word + self.probability + self.back_off)
    }
}

impl Level {
    fn new(table: &Table, order: usize, (bits, word_bits): (u32, u32)) -> Self {
        let block = &table.blocks()[order - 1];
        let flags = flags(table, order);
        let numbers = |numbers: &'static str, of: &[f64]| {
            let history = |i: &usize| numbers == "probability" || flags[*i].extends_right;
            (0..of.len()).filter(history).map(|i| of[i] as f32).collect::<Vec<f32>>()
        };
        let longest = order == table.order();
        let mut level = Self {
            records: Vec::new().into(),
            below: table.blocks().get(order).map(|longer| Unary::new(below(block.len(), block, longer))),
            probability: Codes::new(bits, 0, numbers("probability", &block.log10_probability).into_iter()),
            back_off: Codes::new(bits, 1, numbers("back_off", &block.log10_back_off).into_iter()),
        };
        let widths = level.widths(order, word_bits, longest);
        let mut records = BitWriter::default();
        for (i, flags) in flags.iter().enumerate() {
            records.push(if order == 1 { 0 } else { words(block, i)[0].into() }, widths.word);
            records.push(level.probability.encode(block.log10_probability[i] as f32), widths.probability);
            if !longest {
                records.push(level.back_off_code(block.log10_back_off[i], flags.extends_right), widths.back_off);
            }
        }
        level.records = records.finish().into();
        level
    }

    pub(super) fn widths(&self, order: usize, word_bits: u32, longest: bool) -> Widths {
        Widths {
            word: if order == 1 { 0 } else { word_bits },
            probability: self.probability.bits,
            back_off: if longest { 0 } else { self.back_off.bits },
        }
    }

    fn back_off_code(&self, x: f64, extends_right: bool) -> u64 {
        let exact = self.back_off.bits == EXACT;
        match extends_right {
            true if exact => self.back_off.encode(x as f32 + 0.0),
            false if exact => self.back_off.encode(-0.0),
            true => 1 + self.back_off.encode(x as f32),
            false => NO_HISTORY,
        }
    }

    /// A weight, and whether it is that of a history.
    fn back_off(&self, code: u64) -> (f64, bool) {
        if self.back_off.bits == EXACT {
            let x = self.back_off.decode(code);
            return (x.into(), x != 0.0 || x.is_sign_positive());
        }
        match code {
            NO_HISTORY => (0.0, false),
            code => (self.back_off.decode(code - 1).into(), true),
        }
    }
}

/// How many of `longer` end with each of `block`; both are in suffix order.
fn below<'a>(
    len: usize,
    block: &'a crate::ngram::estimate::Block,
    longer: &'a crate::ngram::estimate::Block,
) -> impl Iterator<Item = usize> + 'a {
    let mut at = 0;
    (0..len).map(move |i| {
        let first = at;
        while at < longer.len() && &words(longer, at)[1..] == words(block, i) {
            at += 1;
        }
        at - first
    })
}

/// A trie that is asked.
#[derive(Debug, Clone)]
pub struct TrieView<'a> {
    trie: &'a Trie,
    levels: Vec<LevelView<'a>>,
}

#[derive(Clone, Copy)]
struct LevelView<'a> {
    level: &'a Level,
    records: &'a [u8],
    widths: Widths,
    len: u64,
}

impl std::fmt::Debug for LevelView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LevelView").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Trie {
    /// For queries.
    pub fn view(&self) -> TrieView<'_> {
        let order = self.order();
        let level = |(i, level): (usize, &'_ Level)| (i, level.widths(i + 1, self.word_bits, i + 1 == order));
        let levels = self.levels.iter().enumerate().map(|(i, l)| {
            let (i, widths) = level((i, l));
            LevelView { level: l, records: &l.records, widths, len: self.len[i] }
        });
        TrieView { trie: self, levels: levels.collect() }
    }
}

impl LevelView<'_> {
    fn word(&self, i: u64) -> u64 {
        read(self.records, i.saturating_mul(self.widths.record()), self.widths.word)
    }

    /// The n-gram in place `i`, and where those of the next order that end with it are.
    fn at(&self, i: u64) -> (std::ops::Range<u64>, Weights) {
        let start = i.saturating_mul(self.widths.record()) + u64::from(self.widths.word);
        let probability = self.level.probability.decode(read(self.records, start, self.widths.probability));
        let code = read(self.records, start + u64::from(self.widths.probability), self.widths.back_off);
        let below = self.level.below.as_ref().map_or(0..0, |below| below.range(i));
        let (back_off, extends_right) =
            if self.widths.back_off == 0 { (0.0, false) } else { self.level.back_off(code) };
        let weights =
            Weights { probability: probability.into(), back_off, extends_left: !below.is_empty(), extends_right };
        (below, weights)
    }
}

/// Where in the next order to look.
#[derive(Debug, Clone, Copy)]
pub struct Below {
    start: u64,
    end: u64,
}

impl From<std::ops::Range<u64>> for Below {
    fn from(range: std::ops::Range<u64>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

impl Lookup for TrieView<'_> {
    type Node = Below;

    fn order(&self) -> usize {
        self.trie.order()
    }

    fn unigram(&self, word: WordId) -> (Below, Weights) {
        let level = &self.levels[0];
        let word = u64::from(word);
        let (below, weights) = level.at(if word < level.len { word } else { UNKNOWN.into() });
        (below.into(), weights)
    }

    fn extend(&self, node: Below, order: usize, word: WordId) -> Option<(Below, Weights)> {
        let level = self.levels.get(order - 1)?;
        let (mut low, mut high) = (node.start, node.end.min(level.len));
        while low < high {
            let middle = low.midpoint(high);
            match level.word(middle).cmp(&word.into()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => {
                    let (below, weights) = level.at(middle);
                    return Some((below.into(), weights));
                }
            }
        }
        None
    }
}
