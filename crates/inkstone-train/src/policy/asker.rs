//! Answers of a model, judged by a program.

use inkstone_models::Model;
use inkstone_tokenizer::Tokenizer;

use super::prompts::Prompt;
use super::reward::RewardTable;
use super::rollout::{Generator, Rollout, mix, sampling};
use crate::TrainError;

/// Who is asked, and how answers are judged.
pub(super) struct Asker<'a> {
    pub(super) model: &'a Model,
    pub(super) tokenizer: &'a Tokenizer,
    pub(super) reward: &'a RewardTable,
    /// Answers to each question.
    pub(super) answers: usize,
    /// Tokens of an answer at most.
    pub(super) max_new_tokens: usize,
}

/// An answer and what it is worth.
pub(super) struct Said {
    pub(super) ids: Vec<u32>,
    pub(super) text: String,
    pub(super) reward: f64,
}

impl Asker<'_> {
    /// Answers to a prompt: functions of the seed and of the prompt's number.
    pub(super) fn answers(&self, prompt: &Prompt, (seed, number): (u64, u64)) -> Result<Vec<Said>, TrainError> {
        let seeds: Vec<u64> = (0..self.answers as u64).map(|at| mix(seed, number, at)).collect();
        let prompts = vec![prompt.ids.as_slice(); seeds.len()];
        let said = self.model.answers(&prompts, &sampling(self.tokenizer, self.max_new_tokens), &seeds)?;
        said.into_iter().map(|ids| self.judge(ids, prompt)).collect()
    }

    fn judge(&self, ids: Vec<u32>, prompt: &Prompt) -> Result<Said, TrainError> {
        let text = self.tokenizer.decode(&ids)?;
        let rollout = Rollout { finished: ids.len() < self.max_new_tokens, ids, ..Rollout::default() };
        let reward = self.reward.judge(&rollout, &text, &prompt.judged);
        Ok(Said { ids: rollout.ids, text, reward })
    }
}
