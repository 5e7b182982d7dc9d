//! Entropy pruning (Stolcke 1998): an n-gram goes if the model without it predicts, weighted by how often its history comes
//! up, almost as well.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Table, words};
use super::vocabulary::{BEGIN, WordId};
use crate::error::Result;
use crate::ngram::estimate::Block;

/// Removes n-grams whose absence raises the perplexity of the model's own distribution by less than the share `threshold`
/// (1e-8 is light, 1e-6 heavy), and sets the back-off weights anew. An n-gram stays while a longer one begins with it.
pub fn prune(table: &Table, threshold: f64) -> Result<Table, String> {
    let mut orders = table.orders.clone();
    for order in (2..=table.order()).rev() {
        orders[order - 1] = select(&orders[order - 1], &stays(table, orders.get(order), order, threshold));
    }
    // From the lowest order on: each weight depends on what the shorter histories have become.
    let mut kept = Table { vocabulary: table.vocabulary.clone(), orders };
    for order in 2..=kept.order() {
        set_weights(&mut kept, order);
    }
    Table::new(kept.vocabulary, kept.orders)
}

/// The n-grams of an order by their histories.
fn by_history(block: &Block) -> BTreeMap<&[WordId], Vec<usize>> {
    let mut histories: BTreeMap<&[WordId], Vec<usize>> = BTreeMap::new();
    for i in 0..block.len() {
        histories.entry(&words(block, i)[..block.order - 1]).or_default().push(i);
    }
    histories
}

/// Which n-grams of an order stay; `longer` are those that stay of the next one.
fn stays(table: &Table, longer: Option<&Block>, order: usize, threshold: f64) -> Vec<bool> {
    let block = &table.orders[order - 1];
    let needed: BTreeSet<&[WordId]> = longer
        .map_or_else(BTreeSet::new, |longer| longer.words.chunks(order + 1).map(|ngram| &ngram[..order]).collect());
    let mut stays = vec![true; block.len()];
    for (&history, ngrams) in &by_history(block) {
        let group = Group::new(table, order, history, ngrams);
        for (at, &i) in ngrams.iter().enumerate() {
            stays[i] = needed.contains(words(block, i)) || group.loss(at) >= threshold;
        }
    }
    stays
}

/// Sets the weights of the histories of an order, so that what is left adds up to one.
fn set_weights(table: &mut Table, order: usize) {
    let mut weights = vec![0.0; table.orders[order - 2].len()];
    for (&history, ngrams) in &by_history(&table.orders[order - 1]) {
        let rest = Group::new(table, order, history, ngrams).rest;
        if let Some(i) = table.find(history) {
            weights[i] = if rest.iter().all(|&rest| rest > 0.0) { (rest[0] / rest[1]).log10() } else { 0.0 };
        }
    }
    table.orders[order - 2].log10_back_off = weights;
}

/// The n-grams after one history.
struct Group {
    /// Probability of the history itself.
    history: f64,
    /// Of each n-gram: its probability, and that of its word after the shorter history.
    pairs: Vec<[f64; 2]>,
    /// 1 − Σ probabilities, 1 − Σ shorter ones.
    rest: [f64; 2],
}

impl Group {
    fn new(table: &Table, order: usize, history: &[WordId], ngrams: &[usize]) -> Self {
        let block = &table.orders[order - 1];
        let pair = |&i: &usize| {
            let shorter = table.log10_probability(&words(block, i)[1..]);
            [10f64.powf(block.log10_probability[i]), 10f64.powf(shorter)]
        };
        let pairs: Vec<[f64; 2]> = ngrams.iter().map(pair).collect();
        let rest = [0, 1].map(|k| (1.0 - pairs.iter().map(|pair| pair[k]).sum::<f64>()).max(0.0));
        Self { history: history_probability(table, history), pairs, rest }
    }

    /// How much the perplexity grows without n-gram `at` (Stolcke 1998, equation 5), as a share.
    fn loss(&self, at: usize) -> f64 {
        let [p, shorter] = self.pairs[at];
        if self.rest[1] <= 0.0 || self.rest[0] <= 0.0 {
            return f64::INFINITY;
        }
        let old = (self.rest[0] / self.rest[1]).ln();
        let new = ((self.rest[0] + p) / (self.rest[1] + shorter)).ln();
        let divergence = -self.history * (p * (shorter.ln() + new - p.ln()) + self.rest[0] * (new - old));
        divergence.exp() - 1.0
    }
}

/// Of a history as the model itself would write it; `<s>` begins every sentence.
fn history_probability(table: &Table, history: &[WordId]) -> f64 {
    let begin = usize::from(history[0] == BEGIN);
    let log10: f64 = (begin..history.len()).map(|end| table.log10_probability(&history[..=end])).sum();
    10f64.powf(log10)
}

fn select(block: &Block, stays: &[bool]) -> Block {
    let kept = || (0..block.len()).filter(|&i| stays[i]);
    Block {
        order: block.order,
        words: kept().flat_map(|i| words(block, i)).copied().collect(),
        log10_probability: kept().map(|i| block.log10_probability[i]).collect(),
        log10_back_off: kept().map(|i| block.log10_back_off[i]).collect(),
    }
}
