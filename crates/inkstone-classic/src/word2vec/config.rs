//! How vectors are learnt.

use serde::{Deserialize, Serialize};

use crate::{ClassicError, Result};

/// What is predicted from what (arXiv:1301.3781, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// The words around from the word in the middle.
    SkipGram,
    /// The word in the middle from the mean of those around.
    Cbow,
}

/// What stands in for the softmax over all words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Objective {
    /// Telling the word from so many drawn ones (arXiv:1310.4546, equation 4).
    Negatives(usize),
    /// The way to the word in a Huffman tree (arXiv:1310.4546, equation 3).
    HierarchicalSoftmax,
}

/// Settings of the training, by the names and with the meanings of the original program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word2VecConfig {
    /// Skip-gram or continuous bag of words.
    pub architecture: Architecture,
    /// Negative sampling or hierarchical softmax.
    pub objective: Objective,
    /// Numbers in a vector.
    pub size: usize,
    /// Words looked at to each side at most; each window draws its own radius from 1 to this.
    pub window: usize,
    /// Rarer words are passed over.
    pub min_count: u64,
    /// Share of the text above which words are thinned out (arXiv:1310.4546, section 2.3); 0 keeps all.
    pub sample: f64,
    /// Passes over the text.
    pub epochs: u64,
    /// Learning rate at the start; it falls linearly to a ten-thousandth of this.
    pub learning_rate: f64,
}

/// The most words around and negatives; more would only be slow.
const MOST: usize = 1000;

impl Word2VecConfig {
    /// Refuses settings that can't be.
    pub fn check(&self) -> Result<()> {
        let setting =
            |field, got: String, expected: &str| ClassicError::Setting { field, got, expected: expected.into() };
        if self.size == 0 || self.size > 1 << 16 {
            return Err(setting("size", self.size.to_string(), "1 to 65536"));
        }
        if self.window == 0 || self.window > MOST {
            return Err(setting("window", self.window.to_string(), "1 to 1000"));
        }
        if let Objective::Negatives(n @ (0 | 1001..)) = self.objective {
            return Err(setting("negatives", n.to_string(), "1 to 1000"));
        }
        if !(self.sample >= 0.0 && self.sample < 1.0) {
            return Err(setting("sample", self.sample.to_string(), "0 to 1 (exclusive)"));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate <= 1.0) {
            return Err(setting("learning_rate", self.learning_rate.to_string(), "above 0, at most 1"));
        }
        Ok(())
    }
}
