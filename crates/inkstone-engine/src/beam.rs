//! Beam search: the most likely answers that are found by going on from the best few at each step.
//!
//! As in transformers: of all continuations of the running beams the `2·beams` likeliest are looked at; those that end with a stop token are done,
//! the best others run on. An answer's score is the sum of its log-probabilities over `lengthᵖ` (p: the length penalty).

use inkstone_models::{Cache, Kind, Model, Source};

use crate::{EngineError, Sampling, generate};

/// How beams are searched.
#[derive(Debug, Clone, PartialEq)]
pub struct Beams {
    /// Texts that are gone on from at a time.
    pub beams: usize,
    /// Tokens of an answer at most.
    pub max_new_tokens: usize,
    /// The power of the length that scores are divided by: above 0 longer answers are preferred.
    pub length_penalty: f32,
    /// Tokens that end an answer; they are not part of it.
    pub stop_ids: Vec<u32>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// Its tokens.
    pub tokens: Vec<u32>,
    /// The sum of their log-probabilities, a stop token's included, over the power of the length.
    pub score: f64,
}

/// An answer under way, with what the model remembers of it.
#[derive(Clone)]
struct Beam {
    tokens: Vec<u32>,
    sum: f64,
    logprobs: Vec<f64>,
    cache: Cache,
}

/// The best answers to `prompt`, best first, at most [`Beams::beams`]. For an encoder-decoder the prompt is the source.
///
/// # Errors
/// If the model does not write, or the prompt or the settings make no sense.
pub fn beam_search(model: &Model, prompt: &[u32], how: &Beams) -> Result<Vec<Hypothesis>, EngineError> {
    if model.kind() == Kind::Encoder {
        return Err(EngineError::NoDecoder);
    }
    generate::check((model.vocab_size(), model.context()), prompt, &Sampling::greedy())?;
    if how.beams == 0 || how.beams > model.vocab_size() {
        return Err(EngineError::Sampling(format!("{} beams, expected 1 to the vocabulary's size", how.beams)));
    }
    let room = match model.kind() {
        Kind::EncoderDecoder => model.context() - 1,
        _ => model.context() - prompt.len(),
    };
    let length = how.max_new_tokens.min(room);
    let (mut running, mut done) = (vec![first(model, prompt)], Vec::new());
    for step in 0..length {
        let candidates = candidates(&running, 2 * how.beams);
        let mut next = Vec::new();
        for (rank, &(parent, id, sum)) in candidates.iter().enumerate() {
            let tokens = &running[parent].tokens;
            if how.stop_ids.contains(&id) {
                if rank < how.beams {
                    done.push(hypothesis(tokens.clone(), sum, step + 1, how));
                }
            } else if next.len() < how.beams {
                next.push((parent, [&tokens[..], &[id]].concat(), sum));
            }
        }
        best_first(&mut done, how.beams);
        let hopeless = |best: f64| done.len() == how.beams && done[how.beams - 1].score >= score(best, step + 1, how);
        let last = step + 1 == length;
        if last || next.is_empty() || hopeless(next[0].2) {
            done.extend(next.into_iter().filter(|_| last).map(|(_, tokens, sum)| hypothesis(tokens, sum, length, how)));
            break;
        }
        running = next.into_iter().map(|(parent, tokens, sum)| go_on(model, &running[parent], tokens, sum)).collect();
    }
    best_first(&mut done, how.beams);
    Ok(done)
}

/// The empty answer.
fn first(model: &Model, prompt: &[u32]) -> Beam {
    let mut cache = model.cache(0);
    let logits = if model.kind() == Kind::EncoderDecoder {
        model.last_logits_after(Some(Source { ids: prompt, lengths: None }), &[model.start_token()], &mut cache)
    } else {
        model.last_logits(prompt, &mut cache)
    };
    Beam { tokens: Vec::new(), sum: 0.0, logprobs: log_softmax(&logits), cache }
}

fn go_on(model: &Model, parent: &Beam, tokens: Vec<u32>, sum: f64) -> Beam {
    let mut cache = parent.cache.clone();
    let logits = model.last_logits(&tokens[tokens.len() - 1..], &mut cache);
    Beam { tokens, sum, logprobs: log_softmax(&logits), cache }
}

/// The likeliest continuations: beam, token, sum of log-probabilities; of equals the earlier one first.
fn candidates(running: &[Beam], n: usize) -> Vec<(usize, u32, f64)> {
    let of = |(parent, beam): (usize, &Beam)| {
        let sum = beam.sum;
        let with = move |(id, logprob): (usize, f64)| (parent, id as u32, sum + logprob);
        beam.logprobs.clone().into_iter().enumerate().map(with)
    };
    let mut all: Vec<(usize, u32, f64)> = running.iter().enumerate().flat_map(of).collect();
    let better = |a: &(usize, u32, f64), b: &(usize, u32, f64)| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1)));
    if n < all.len() {
        all.select_nth_unstable_by(n, better);
        all.truncate(n);
    }
    all.sort_unstable_by(better);
    all
}

fn score(sum: f64, length: usize, how: &Beams) -> f64 {
    sum / (length as f64).powf(f64::from(how.length_penalty))
}

fn hypothesis(tokens: Vec<u32>, sum: f64, length: usize, how: &Beams) -> Hypothesis {
    Hypothesis { tokens, score: score(sum, length, how) }
}

fn best_first(done: &mut Vec<Hypothesis>, n: usize) {
    done.sort_by(|a, b| b.score.total_cmp(&a.score));
    done.truncate(n);
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|&x| f64::from(x - most).exp()).sum();
    logits.iter().map(|&x| f64::from(x - most) - sum.ln()).collect()
}
