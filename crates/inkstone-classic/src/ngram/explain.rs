//! Where each word's probability comes from.

use serde::Serialize;

use super::model::{Model, State};
use super::unit::Splitter;
use super::vocabulary::{BEGIN, END, UNKNOWN, WordId};
use crate::error::Result;

/// A word of a sentence, explained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// The word as it stands in the text.
    pub word: String,
    /// Whether the model does not know it.
    pub unknown: bool,
    /// log₁₀ of its probability.
    pub log10: f64,
    /// Its probability.
    pub probability: f64,
    /// Words of the n-gram that it was found in.
    pub order: usize,
    /// From the longest history that was asked to the n-gram that answered.
    pub path: Vec<Step>,
}

/// One n-gram that was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The words before.
    pub history: Vec<String>,
    /// Whether the n-gram of history and word is in the model.
    pub found: bool,
    /// log₁₀ of the probability that was found, or of the weight that the history leaves to the shorter one.
    pub log10: f64,
    /// Whether the model knows the history at all; else its weight is one.
    pub history_known: bool,
    /// What was counted in training, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
}

/// What training counted for one n-gram.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counted {
    /// What the smoothing counts for the n-gram: occurrences, or different words before it.
    pub count: u64,
    /// The sum over all words after the history.
    pub history_count: u64,
    /// Different words after the history.
    pub history_types: u64,
    /// What the count lost.
    pub discount: f64,
}

/// Asked for each n-gram: history and word as the text has them.
pub type Counts<'a> = &'a dyn Fn(&[String], &str) -> Option<Counted>;

/// Explains each word of a sentence and its end.
pub fn explain(
    model: &Model,
    splitter: &Splitter,
    sentence: &str,
    counts: Option<Counts<'_>>,
) -> Result<Vec<Explained>> {
    let mut words: Vec<String> = Vec::new();
    splitter.split(sentence, |word| words.push(word.to_owned()))?;
    let mut ids: Vec<WordId> = words.iter().map(|word| model.vocabulary().id(word)).collect();
    words.insert(0, model.vocabulary().word(BEGIN).to_owned());
    words.push(model.vocabulary().word(END).to_owned());
    ids.insert(0, BEGIN);
    ids.push(END);
    let scorer = model.scorer();
    let (mut before, mut after) = (scorer.begin(), State::default());
    let mut explained = Vec::new();
    for end in 1..ids.len() {
        let score = scorer.score(&before, ids[end], &mut after);
        std::mem::swap(&mut before, &mut after);
        let start = (end + 1).saturating_sub(model.order());
        let path = (start..=end).map(|start| step(model, &ids[start..=end], &words[start..=end], counts));
        explained.push(Explained {
            word: words[end].clone(),
            unknown: ids[end] == UNKNOWN,
            log10: score.log10,
            probability: 10f64.powf(score.log10),
            order: score.order,
            path: until_found(path),
        });
    }
    Ok(explained)
}

fn until_found(steps: impl Iterator<Item = Step>) -> Vec<Step> {
    let mut path: Vec<Step> = Vec::new();
    for step in steps {
        let found = step.found;
        path.push(step);
        if found {
            break;
        }
    }
    path
}

fn step(model: &Model, ids: &[WordId], words: &[String], counts: Option<Counts<'_>>) -> Step {
    let scorer = model.scorer();
    let (last, history) = (ids.len() - 1, &ids[..ids.len() - 1]);
    let found = scorer.ngram(ids);
    let history_weights = scorer.ngram(history);
    Step {
        history: words[..last].to_vec(),
        found: found.is_some(),
        log10: found.map_or_else(|| history_weights.map_or(0.0, |w| w.back_off), |w| w.probability),
        history_known: history.is_empty() || history_weights.is_some(),
        counted: counts.and_then(|counts| counts(&words[..last], &words[last])),
    }
}
