//! The probability of a word after others: the longest n-gram that is there, and the back-off weights of the longer histories
//! that have no such word. One pass from the last word leftwards; the state that it leaves spares the next one looking
//! its histories up again (Heafield 2011, section 4).

use crate::ngram::estimate::LONGEST;
use crate::ngram::vocabulary::{BEGIN, END, WordId};

/// What is known of an n-gram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Weights {
    /// log₁₀ of its probability.
    pub probability: f64,
    /// log₁₀ of the weight that it leaves, as a history, to the shorter one.
    pub back_off: f64,
    /// Whether a longer n-gram ends with it.
    pub extends_left: bool,
    /// Whether a longer n-gram begins with it.
    pub extends_right: bool,
}

/// A structure in which n-grams are found from their last word leftwards.
pub trait Lookup {
    /// Where an n-gram was found.
    type Node: Copy;

    /// Words of the longest n-grams.
    fn order(&self) -> usize;
    /// The n-gram of one word.
    fn unigram(&self, word: WordId) -> (Self::Node, Weights);
    /// The n-gram of `order` words that is `word` before that of `node`.
    fn extend(&self, node: Self::Node, order: usize, word: WordId) -> Option<(Self::Node, Weights)>;

    /// Told that the last `new` of `words` will be scored one after another: what lies far away in memory can be fetched for
    /// all of them at once.
    fn expect(&self, _words: &[WordId], _new: usize) {}
}

/// What of the words so far matters for the next one.
#[derive(Debug, Clone)]
pub struct State {
    /// The last word first.
    words: [WordId; LONGEST],
    /// log₁₀ of the weight of the history of 1, 2, … words.
    back_offs: [f64; LONGEST],
    len: usize,
}

impl Default for State {
    fn default() -> Self {
        Self { words: [0; LONGEST], back_offs: [0.0; LONGEST], len: 0 }
    }
}

impl State {
    /// The words that matter, last one first.
    pub fn words(&self) -> &[WordId] {
        &self.words[..self.len]
    }

    /// Their weights as histories of 1, 2, … words.
    pub fn back_offs(&self) -> &[f64] {
        &self.back_offs[..self.len]
    }
}

/// A word's score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Score {
    /// log₁₀ of its probability.
    pub log10: f64,
    /// Words of the n-gram that it was found in.
    pub order: usize,
}

/// The state at the beginning of a sentence.
pub(super) fn begin(model: &impl Lookup) -> State {
    let (before, mut after) = (State::default(), State::default());
    score(model, &before, BEGIN, &mut after);
    after
}

/// Scores `word` after `before` and leaves in `after` what the next word needs.
pub(super) fn score<L: Lookup>(model: &L, before: &State, word: WordId, after: &mut State) -> Score {
    let order = model.order();
    let (mut node, mut found) = model.unigram(word);
    let mut matched = 1;
    after.words[0] = word;
    after.back_offs[0] = found.back_off;
    after.len = usize::from(found.extends_right && order > 1);
    for (i, &earlier) in before.words().iter().enumerate() {
        if !found.extends_left {
            break;
        }
        let Some((longer, weights)) = model.extend(node, i + 2, earlier) else { break };
        (node, found, matched) = (longer, weights, i + 2);
        if matched < order {
            after.words[matched - 1] = earlier;
            after.back_offs[matched - 1] = found.back_off;
            if found.extends_right {
                after.len = matched;
            }
        }
    }
    let backed_off: f64 = before.back_offs().get(matched - 1..).map_or(0.0, |rest| rest.iter().sum());
    Score { log10: found.probability + backed_off, order: matched }
}

/// Scores sentences end to end: after [`END`] the next one begins.
pub(super) fn score_all<L: Lookup>(
    model: &L,
    words: &[WordId],
    state: &mut State,
    mut then: impl FnMut(WordId, Score),
) {
    let first = begin(model);
    let (mut a, mut b) = (state.clone(), State::default());
    let (mut before, mut after) = (&mut a, &mut b);
    for start in (0..words.len()).step_by(TOGETHER) {
        let end = (start + TOGETHER).min(words.len());
        model.expect(&words[..end], end - start);
        for &word in &words[start..end] {
            then(word, score(model, before, word, after));
            if word == END {
                before.clone_from(&first);
            } else {
                std::mem::swap(&mut before, &mut after);
            }
        }
    }
    state.clone_from(before);
}

/// Words whose n-grams are fetched at once: few enough to stay in the first-level cache.
const TOGETHER: usize = 32;

/// What is known of an n-gram, if it is there.
pub(super) fn ngram<L: Lookup>(model: &L, ngram: &[WordId]) -> Option<Weights> {
    let (&last, before) = ngram.split_last()?;
    let (mut node, mut weights) = model.unigram(last);
    for (&word, order) in before.iter().rev().zip(2..) {
        (node, weights) = model.extend(node, order, word)?;
    }
    Some(weights)
}
