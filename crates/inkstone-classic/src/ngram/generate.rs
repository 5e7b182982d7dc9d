//! Text from a model.

use std::ops::ControlFlow;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::model::{Model, Scorer, State};
use super::unit::Splitter;
use super::vocabulary::{BEGIN, END, UNKNOWN, WordId};
use crate::error::Result;

/// How words are drawn.
#[derive(Debug, Clone, Copy)]
pub struct Drawing {
    /// Words at most.
    pub max_words: usize,
    /// Logits are divided by it; 0 takes the most likely word.
    pub temperature: f64,
    /// Keep the most likely words, so many.
    pub top_k: Option<usize>,
    /// Keep the most likely words that make up this share.
    pub top_p: Option<f64>,
    /// The same seed draws the same words.
    pub seed: u64,
}

/// Goes on from a prompt until the end of the sentence, and hands out each word. `<unk>` is never drawn.
pub fn generate(
    model: &Model,
    splitter: &Splitter,
    prompt: &str,
    drawing: Drawing,
    mut then: impl FnMut(WordId, &str) -> ControlFlow<()>,
) -> Result<()> {
    let scorer = model.scorer();
    let (mut before, mut after) = (scorer.begin(), State::default());
    splitter.split(prompt, |word| {
        scorer.score(&before, model.vocabulary().id(word), &mut after);
        std::mem::swap(&mut before, &mut after);
    })?;
    for n in 0..drawing.max_words {
        let word = draw(&distribution(&scorer, &before, model.vocabulary().len()), drawing, n as u64);
        if word == END || then(word, model.vocabulary().word(word)).is_break() {
            break;
        }
        scorer.score(&before, word, &mut after);
        std::mem::swap(&mut before, &mut after);
    }
    Ok(())
}

/// The words that can be drawn with log₁₀ of their probabilities, most likely first.
fn distribution(scorer: &Scorer<'_>, before: &State, vocabulary: usize) -> Vec<(f64, WordId)> {
    let mut after = State::default();
    let words = (0..vocabulary as WordId).filter(|&word| word != BEGIN && word != UNKNOWN);
    let mut all: Vec<(f64, WordId)> = words.map(|word| (scorer.score(before, word, &mut after).log10, word)).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all
}

fn draw(all: &[(f64, WordId)], drawing: Drawing, n: u64) -> WordId {
    let Some(&(best, first)) = all.first() else { return END };
    if drawing.temperature <= 0.0 {
        return first;
    }
    let kept = &all[..drawing.top_k.unwrap_or(all.len()).clamp(1, all.len())];
    let weights: Vec<f64> = kept.iter().map(|(log10, _)| 10f64.powf((log10 - best) / drawing.temperature)).collect();
    let total: f64 = weights.iter().sum();
    let share = drawing.top_p.unwrap_or(1.0) * total;
    let mut mass = 0.0;
    let kept = weights.iter().take_while(|&&weight| {
        let before = mass;
        mass += weight;
        before < share
    });
    let kept = kept.count().max(1);
    // A function of the seed and of how many words were drawn before.
    let unit = (xxh3_64_with_seed(&n.to_le_bytes(), drawing.seed) >> 11) as f64 / (1u64 << 53) as f64;
    let mut left = unit * weights[..kept].iter().sum::<f64>();
    for (weight, (_, word)) in weights[..kept].iter().zip(all) {
        left -= weight;
        if left < 0.0 {
            return *word;
        }
    }
    all[kept - 1].1
}
