//! What the policy says, and what is kept of it.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use inkstone_engine::{CachePrecision, EngineError, Event, Limits, Request, Sampling, Scheduler};
use inkstone_models::{Kind, Model};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use crate::preference::draw;

/// An answer of the policy with what is known of each of its tokens.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Rollout {
    /// Which prompt it answers.
    pub prompt: usize,
    /// The tokens of the answer, with the one that ended it where it ended.
    pub ids: Vec<u32>,
    /// Whether it ended by itself.
    pub finished: bool,
    /// How good it was judged to be.
    pub reward: f64,
    /// Log-probabilities under the policy that said it.
    pub old: Vec<f32>,
    /// Log-probabilities under the reference.
    pub reference: Vec<f32>,
    /// Values at the time, where there is a value function.
    pub values: Vec<f32>,
    /// How much better than expected each token was.
    pub advantages: Vec<f32>,
    /// What the values should have been.
    pub returns: Vec<f32>,
}

impl Rollout {
    /// The same advantage for every token.
    pub(super) fn fill(&mut self, advantage: f32) {
        self.advantages = vec![advantage; self.ids.len()];
    }

    /// How much likelier the answer is under the policy than under the reference, in nats: an estimate of their divergence.
    pub fn divergence(&self) -> f64 {
        self.old.iter().zip(&self.reference).map(|(a, b)| f64::from(a - b)).sum()
    }
}

/// What answers prompts. Each answer is a function of its prompt and its seed.
pub trait Generator {
    /// The answers to `prompts`, one for each seed.
    fn answers(&self, prompts: &[&[u32]], sampling: &Sampling, seeds: &[u64]) -> Result<Vec<Vec<u32>>, EngineError>;
}

/// Many answers at a time, by the engine; one after the other where the model cannot be read by it. The tokens are the same.
impl Generator for Model {
    fn answers(&self, prompts: &[&[u32]], sampling: &Sampling, seeds: &[u64]) -> Result<Vec<Vec<u32>>, EngineError> {
        let drawn = |&seed: &u64| Sampling { seed, ..sampling.clone() };
        if self.kind() == Kind::Decoder && self.virtual_tokens() == 0 {
            return together(self, prompts, seeds.iter().map(drawn).collect());
        }
        let answer = |(prompt, seed): (&&[u32], &u64)| {
            inkstone_engine::generate(self, prompt, &drawn(seed), &mut |_| ControlFlow::Continue(()))
        };
        prompts.iter().zip(seeds).map(answer).collect()
    }
}

/// Answers that are computed at a time.
const RUNNING: usize = 64;
/// Tokens of prompts in a pass.
const PASS_TOKENS: usize = 512;

/// The answers to `prompts`, which go through the model together.
fn together(model: &Model, prompts: &[&[u32]], samplings: Vec<Sampling>) -> Result<Vec<Vec<u32>>, EngineError> {
    let longest = prompts.iter().zip(&samplings).map(|(prompt, sampling)| prompt.len() + sampling.max_new_tokens).max();
    let mut scheduler = Scheduler::new(model, limits(model, longest.unwrap_or(0), prompts.len()))?;
    let heard = Arc::new(Mutex::new(vec![Vec::new(); prompts.len()]));
    for (n, (prompt, sampling)) in prompts.iter().zip(samplings).enumerate() {
        let heard = Arc::clone(&heard);
        scheduler.submit(Request::new(prompt.to_vec(), sampling, move |event| {
            if let Event::Token(token) = event {
                heard.lock().unwrap_or_else(PoisonError::into_inner)[n].push(token.id);
            }
            ControlFlow::Continue(())
        }))?;
    }
    while !scheduler.is_idle() {
        scheduler.step();
    }
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *heard))
}

/// Room for as many answers as are computed at a time, each with its prompt at most `longest` tokens long.
fn limits(model: &Model, longest: usize, requests: usize) -> Limits {
    let size = model.dimensions();
    let token = 2 * size.layers * size.key_heads * size.head_width * size_of::<f32>();
    // A block more than is filled, for each.
    let tokens = longest.min(model.context()) + 2 * inkstone_kernels::BLOCK_POSITIONS;
    Limits {
        cache_bytes: RUNNING.min(requests) * tokens * token,
        cache_precision: CachePrecision::F32,
        running: RUNNING,
        waiting: requests,
        pass_tokens: PASS_TOKENS,
        draft_tokens: 0,
    }
}

/// Draws from the policy as it is, up to the token with which the chat template ends an answer.
pub fn sampling(tokenizer: &Tokenizer, max_new_tokens: usize) -> Sampling {
    let stop_ids = end_of_turn(tokenizer).into_iter().collect();
    Sampling { max_new_tokens, temperature: 1.0, stop_ids, ..Sampling::greedy() }
}

pub(super) fn end_of_turn(tokenizer: &Tokenizer) -> Option<u32> {
    tokenizer.stop_ids().last().copied()
}

/// The seed of an answer.
pub fn mix(seed: u64, iteration: u64, answer: u64) -> u64 {
    let bytes = draw([seed, iteration, answer]);
    u64::from_le_bytes(std::array::from_fn(|at| bytes[at]))
}
