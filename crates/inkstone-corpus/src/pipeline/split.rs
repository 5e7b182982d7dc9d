//! Which documents are for training and which for validation.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Settings;
use crate::document::Split;

/// How the validation split is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitKind {
    /// By a hash of content and seed: a document stays on its side whatever is added to the
    /// corpus, and equal documents are on the same side.
    #[default]
    Hash,
    /// The last documents, in the order of the sources.
    Tail,
}

/// The least and the largest split hash of all documents. The first is always for validation and
/// the second for training, so that neither split of a small corpus is empty by bad luck.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    least: u64,
    largest: u64,
}

impl Default for Range {
    fn default() -> Self {
        Self { least: u64::MAX, largest: 0 }
    }
}

fn split_hash(content: u128, seed: u64) -> u64 {
    xxh3_64_with_seed(&content.to_le_bytes(), seed)
}

impl Range {
    pub(crate) fn add(&mut self, content: u128, seed: u64) {
        let hash = split_hash(content, seed);
        self.least = self.least.min(hash);
        self.largest = self.largest.max(hash);
    }
}

/// Tells the split of each document that is kept.
pub(crate) struct Splitter {
    settings: Settings,
    seed: u64,
    range: Range,
    /// Documents before the tail.
    head: u64,
}

impl Splitter {
    /// For `kept` documents.
    pub(crate) fn new(settings: Settings, seed: u64, range: Range, kept: u64) -> Self {
        let wanted = (kept as f64 * settings.validation).round() as u64;
        let tail = if settings.validation > 0.0 { wanted.clamp(1, kept.max(2) - 1) } else { 0 };
        Self { settings, seed, range, head: if kept < 2 { kept } else { kept - tail } }
    }

    /// The split of kept document number `position`.
    pub(crate) fn split(&self, content: u128, position: u64) -> Split {
        let validation = match self.settings.split {
            SplitKind::Tail => position >= self.head,
            SplitKind::Hash => self.settings.validation > 0.0 && self.chosen(split_hash(content, self.seed)),
        };
        if validation { Split::Validation } else { Split::Train }
    }

    fn chosen(&self, hash: u64) -> bool {
        let share = hash as f64 / 2f64.powi(64);
        hash != self.range.largest && (share < self.settings.validation || hash == self.range.least)
    }
}
