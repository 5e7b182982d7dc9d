//! Masked language modelling: some tokens of a text are hidden, and restored from both sides.
//!
//! Papers: BERT (arXiv:1810.04805, section 3.1: 15 %, of which 80 % become the mask, 10 % another token, 10 % stay), whole words
//! (1906.08101), runs of several words with `p(n) ∝ 1/n` (ALBERT, 1909.11942, section 4.1).

use std::ops::Range;

use inkstone_corpus::draw::Draw;
use inkstone_corpus::loader::{Batch, IGNORE};
use serde::{Deserialize, Serialize};

use super::noised::{Noise, Noised, ends_of};
use super::sentences::{Sentences, paired};
use super::words::Words;

/// `objective = { kind = "masked" }` of a `pretrain` stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskedTable {
    /// The share of tokens that are to be restored. Default 0.15.
    #[serde(default = "super::table::fifteen_percent")]
    pub rate: f64,
    /// Whether all tokens of a word are hidden together. Default false.
    #[serde(default)]
    pub whole_words: bool,
    /// Words (or tokens) of a run at most. Default 1.
    #[serde(default = "crate::config::one")]
    pub ngram: usize,
    /// What is asked of two sentences: `none`, `next` (does the second follow the first?) or `order` (do they stand in theirs?).
    /// Default `none`.
    #[serde(default)]
    pub sentences: Sentences,
}

/// Hides tokens.
pub(crate) struct Masked<'a> {
    pub(crate) table: &'a MaskedTable,
    pub(crate) words: Words,
    pub(crate) marks: Marks,
}

/// Special tokens of encoders, and the size of the vocabulary.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks {
    /// Stands for what is hidden.
    pub mask: u32,
    /// Begins a row of two sentences.
    pub cls: u32,
    /// Ends a sentence.
    pub sep: u32,
    /// Fills a row.
    pub pad: u32,
    /// Token ids.
    pub vocabulary: usize,
}

impl Noise for Masked<'_> {
    fn noised(&self, batch: &Batch, draw: &dyn Fn(usize) -> Draw) -> Noised {
        let mut draws: Vec<Draw> = (0..batch.batch_size).map(draw).collect();
        let mut noised = match self.table.sentences {
            Sentences::None => Noised {
                batch_size: batch.batch_size,
                ids: batch.ids.clone(),
                starts: batch.starts.clone(),
                ends: ends_of(batch),
                ..Noised::default()
            },
            asked => paired(asked, batch, (&self.words, self.marks), &mut draws),
        };
        noised.labels = vec![IGNORE; noised.ids.len()];
        let rows = noised.ids.chunks_mut(batch.context).zip(noised.labels.chunks_mut(batch.context));
        rows.zip(&mut draws).for_each(|((ids, labels), draw)| self.hide(ids, labels, draw));
        noised
    }
}

impl Masked<'_> {
    /// Hides tokens of one row and notes what they were.
    fn hide(&self, ids: &mut [u32], labels: &mut [i32], draw: &mut Draw) {
        let words = self.words.of(ids);
        for at in self.chosen(&words, draw) {
            labels[at] = i32::try_from(ids[at]).unwrap_or(IGNORE);
            match draw.below(10) {
                0..8 => ids[at] = self.marks.mask,
                8 => ids[at] = draw.below(self.marks.vocabulary) as u32,
                _ => {}
            }
        }
    }

    /// The positions that are to be restored, rising.
    fn chosen(&self, words: &[Range<usize>], draw: &mut Draw) -> Vec<usize> {
        let tokens: usize = words.iter().map(ExactSizeIterator::len).sum();
        let wanted = ((tokens as f64 * self.table.rate).round() as usize).clamp(usize::from(tokens > 0), tokens);
        let mut taken = vec![false; words.len()];
        let mut chosen = Vec::new();
        for first in draw.order(words.len()) {
            let run = first..(first + run_length(self.table.ngram, draw)).min(words.len());
            let fits = |chosen: &[usize], word: &Range<usize>| chosen.is_empty() || chosen.len() + word.len() <= wanted;
            for word in run {
                if !taken[word] && fits(&chosen, &words[word]) {
                    taken[word] = true;
                    chosen.extend(words[word].clone());
                }
            }
            if chosen.len() >= wanted {
                break;
            }
        }
        chosen.sort_unstable();
        chosen
    }
}

/// 1 to `longest`, with a probability that is proportional to `1/n`.
fn run_length(longest: usize, draw: &mut Draw) -> usize {
    let total: f64 = (1..=longest).map(|n| 1.0 / n as f64).sum();
    let mut left = draw.unit() * total;
    (1..longest)
        .find(|&n| {
            left -= 1.0 / n as f64;
            left < 0.0
        })
        .unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use inkstone_corpus::draw::Draw;
    use inkstone_corpus::loader::IGNORE;

    use super::super::sentences::Sentences;
    use super::super::words::Words;
    use super::{Marks, Masked, MaskedTable};

    const MARKS: Marks = Marks { mask: 1000, cls: 1001, sep: 1002, pad: 1003, vocabulary: 1004 };

    fn hidden(table: &MaskedTable, words: Words, ids: &[u32], index: usize) -> (Vec<u32>, Vec<i32>) {
        let (mut shown, mut labels) = (ids.to_vec(), vec![IGNORE; ids.len()]);
        let masked = Masked { table, words, marks: MARKS };
        masked.hide(&mut shown, &mut labels, &mut Draw::new(7, "test", index));
        (shown, labels)
    }

    fn table(ngram: usize) -> MaskedTable {
        MaskedTable { rate: 0.15, whole_words: false, ngram, sentences: Sentences::None }
    }

    #[test]
    fn fifteen_percent_are_asked_for_of_which_eighty_are_masked_and_ten_stay() {
        let ids: Vec<u32> = (0..1000).collect();
        let (mut asked, mut masked, mut stayed) = (0, 0, 0);
        for index in 0..40 {
            let (shown, labels) = hidden(&table(1), Words::of_letters(1000), &ids, index);
            for at in (0..ids.len()).filter(|&at| labels[at] != IGNORE) {
                assert_eq!(labels[at], ids[at] as i32);
                asked += 1;
                masked += usize::from(shown[at] == MARKS.mask);
                stayed += usize::from(shown[at] == ids[at]);
            }
            assert!((0..ids.len()).all(|at| labels[at] != IGNORE || shown[at] == ids[at]));
        }
        assert_eq!(asked, 40 * 150);
        let share = |count: usize| count as f64 / f64::from(asked);
        assert!((share(masked) - 0.8).abs() < 0.03 && (share(stayed) - 0.1).abs() < 0.03, "{masked} {stayed}");
    }

    #[test]
    fn a_mask_is_a_function_of_its_index_and_special_tokens_are_never_asked_for() {
        let ids: Vec<u32> = (0..300).chain([1002; 40]).collect();
        let of = |index| hidden(&table(3), Words::of_letters(1000), &ids, index);
        assert_eq!(of(5), of(5));
        assert_ne!(of(5), of(6));
        assert!(of(5).1[300..].iter().all(|&label| label == IGNORE));
    }

    #[test]
    fn runs_of_words_are_longer_than_words() {
        let ids: Vec<u32> = (0..1000).collect();
        let runs = |ngram| {
            let labels = hidden(&table(ngram), Words::of_letters(1000), &ids, 1).1;
            (1..labels.len()).filter(|&at| labels[at] != IGNORE && labels[at - 1] == IGNORE).count()
        };
        assert!(runs(8) * 3 < runs(1) * 2, "{} {}", runs(8), runs(1));
    }
}
