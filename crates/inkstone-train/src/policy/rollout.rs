//! What the policy says, and what is kept of it.

use std::ops::ControlFlow;

use inkstone_engine::{EngineError, Sampling};
use inkstone_models::Model;
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

/// Plain generation, one answer after the other.
impl Generator for Model {
    fn answers(&self, prompts: &[&[u32]], sampling: &Sampling, seeds: &[u64]) -> Result<Vec<Vec<u32>>, EngineError> {
        let answer = |(prompt, &seed): (&&[u32], &u64)| {
            let sampling = Sampling { seed, ..sampling.clone() };
            inkstone_engine::generate(self, prompt, &sampling, &mut |_| ControlFlow::Continue(()))
        };
        prompts.iter().zip(seeds).map(answer).collect()
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
