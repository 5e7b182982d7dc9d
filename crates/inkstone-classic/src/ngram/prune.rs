//! Entropy pruning (Stolcke 1998): an n-gram goes if the model without it predicts, weighted by how often its history comes
//! up, almost as well.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Table;
use super::vocabulary::{BEGIN, WordId};
use crate::error::Result;
use crate::ngram::estimate::Block;

/// Removes n-grams whose absence raises the perplexity of the model's own distribution by less than the share `threshold`
/// (1e-8 is light, 1e-6 heavy), longest ones first, and sets the back-off weights anew. An n-gram stays while a
/// longer one begins with it.
pub fn prune(table: &Table, threshold: f64) -> Result<Table, String> {
    let mut kept = table.clone();
    for order in (2..=table.order()).rev() {
        kept = without(&kept, order, threshold)?;
    }
    Ok(kept)
}

fn without(table: &Table, order: usize, threshold: f64) -> Result<Table, String> {
    let block = &table.blocks()[order - 1];
    let ngram = |i: usize| &block.words[i * order..(i + 1) * order];
    let mut histories: BTreeMap<&[WordId], Vec<usize>> = BTreeMap::new();
    for i in 0..block.len() {
        histories.entry(&ngram(i)[..order - 1]).or_default().push(i);
    }
    let needed: BTreeSet<&[WordId]> = match table.blocks().get(order) {
        Some(longer) => longer.words.chunks(order + 1).map(|longer| &longer[..order]).collect(),
        None => BTreeSet::new(),
    };
    let mut stays = vec![true; block.len()];
    let mut weights: Vec<(Vec<WordId>, f64)> = Vec::new();
    for (&history, ngrams) in &histories {
        let group = Group::new(table, order, history, ngrams);
        for (at, &i) in ngrams.iter().enumerate() {
            stays[i] = needed.contains(ngram(i)) || group.loss(at) >= threshold;
        }
        weights.push((history.to_vec(), group.weight(&ngrams.iter().map(|&i| stays[i]).collect::<Vec<_>>())));
    }
    let mut orders = table.blocks().to_vec();
    orders[order - 1] = select(block, &stays);
    for (history, weight) in weights {
        if let Some(i) = table.find(&history) {
            orders[order - 2].log10_back_off[i] = weight.log10();
        }
    }
    Table::new(table.vocabulary().clone(), orders)
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
        let block = &table.blocks()[order - 1];
        let pair = |&i: &usize| {
            let shorter = table.log10_probability(&block.words[i * order + 1..(i + 1) * order]);
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

    /// The back-off weight when some stay.
    fn weight(&self, stays: &[bool]) -> f64 {
        let sum = |k: usize| self.pairs.iter().zip(stays).filter(|(_, stays)| **stays).map(|(pair, _)| pair[k]).sum::<f64>();
        let (left, room) = (1.0 - sum(0), 1.0 - sum(1));
        if left <= 0.0 || room <= 0.0 { 1.0 } else { left / room }
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
        words: kept().flat_map(|i| &block.words[i * block.order..(i + 1) * block.order]).copied().collect(),
        log10_probability: kept().map(|i| block.log10_probability[i]).collect(),
        log10_back_off: kept().map(|i| block.log10_back_off[i]).collect(),
    }
}
