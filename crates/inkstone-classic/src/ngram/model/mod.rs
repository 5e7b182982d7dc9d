//! Back-off models that can be asked, and their file.

mod bits;
mod file;
mod flags;
mod probing;
mod quantise;
mod score;
mod section;
mod table;
mod trie;

use std::path::Path;

pub use file::{read_header, write_model};
pub use flags::Flags;
pub use probing::{Probing, ProbingView, Slot, Slot32, Slot64};
pub use score::{Lookup, Score, State, Weights};
pub use table::Table;
pub(in crate::ngram) use table::words;
pub use trie::{Trie, TrieView};

use super::arpa::read_arpa;
use super::unit::Unit;
use super::vocabulary::{Vocabulary, WordId};
use crate::error::Result;

/// A model.
#[derive(Debug)]
pub struct Model {
    vocabulary: Vocabulary,
    unit: Option<Unit>,
    structure: Structure,
}

/// How its n-grams are kept.
#[derive(Debug)]
pub enum Structure {
    /// Hash tables in double precision: what was read from text.
    Exact(Probing<Slot64>),
    /// Hash tables in single precision: fast.
    Probing(Probing<Slot32>),
    /// Sorted lists: small.
    Trie(Trie),
}

impl Model {
    /// Opens a binary model by mapping it, or reads an ARPA file.
    pub fn open(path: &Path) -> Result<Self> {
        if file::is_binary(path)? {
            return file::open(path);
        }
        let (table, unit) = read_arpa(path)?;
        Ok(Self::exact(&table, unit))
    }

    /// A model in memory, as exact as it was estimated.
    pub fn exact(table: &Table, unit: Option<Unit>) -> Self {
        let structure = Structure::Exact(Probing::new(table));
        Self { vocabulary: table.vocabulary().clone(), unit, structure }
    }

    /// A model in memory with a given structure.
    pub fn new(table: &Table, unit: Option<Unit>, structure: Structure) -> Self {
        Self { vocabulary: table.vocabulary().clone(), unit, structure }
    }

    /// Its words.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// What its words are, where the file tells.
    pub fn unit(&self) -> Option<Unit> {
        self.unit
    }

    /// How its n-grams are kept.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Words of its longest n-grams.
    pub fn order(&self) -> usize {
        match &self.structure {
            Structure::Exact(probing) => Lookup::order(&probing.view()),
            Structure::Probing(probing) => Lookup::order(&probing.view()),
            Structure::Trie(trie) => trie.order(),
        }
    }

    /// Its n-grams, ready to be asked.
    pub fn scorer(&self) -> Scorer<'_> {
        match &self.structure {
            Structure::Exact(probing) => Scorer::Exact(probing.view()),
            Structure::Probing(probing) => Scorer::Probing(probing.view()),
            Structure::Trie(trie) => Scorer::Trie(trie.view()),
        }
    }
}

/// The n-grams of a [`Model`], whatever its structure.
#[derive(Debug, Clone)]
pub enum Scorer<'a> {
    /// Of [`Structure::Exact`].
    Exact(ProbingView<'a, Slot64>),
    /// Of [`Structure::Probing`].
    Probing(ProbingView<'a, Slot32>),
    /// Of [`Structure::Trie`].
    Trie(TrieView<'a>),
}

impl Scorer<'_> {
    /// The state at the beginning of a sentence.
    pub fn begin(&self) -> State {
        match self {
            Self::Exact(model) => score::begin(model),
            Self::Probing(model) => score::begin(model),
            Self::Trie(model) => score::begin(model),
        }
    }

    /// Scores a word and leaves in `after` what the next one needs.
    pub fn score(&self, before: &State, word: WordId, after: &mut State) -> Score {
        match self {
            Self::Exact(model) => score::score(model, before, word, after),
            Self::Probing(model) => score::score(model, before, word, after),
            Self::Trie(model) => score::score(model, before, word, after),
        }
    }

    /// Scores words one after another from `state` on, which is left behind the last one.
    pub fn score_all(&self, words: &[WordId], state: &mut State, then: impl FnMut(WordId, Score)) {
        match self {
            Self::Exact(model) => score::score_all(model, words, state, then),
            Self::Probing(model) => score::score_all(model, words, state, then),
            Self::Trie(model) => score::score_all(model, words, state, then),
        }
    }

    /// What is known of an n-gram (first word first), if it is there.
    pub fn ngram(&self, ngram: &[WordId]) -> Option<Weights> {
        match self {
            Self::Exact(model) => score::ngram(model, ngram),
            Self::Probing(model) => score::ngram(model, ngram),
            Self::Trie(model) => score::ngram(model, ngram),
        }
    }
}
