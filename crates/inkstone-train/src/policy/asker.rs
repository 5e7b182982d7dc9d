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
    /// Answers to each of some prompts: functions of the seed and of the prompt's number, which counts from `first`.
    pub(super) fn answers(&self, prompts: &[&Prompt], (seed, first): (u64, u64)) -> Result<Vec<Vec<Said>>, TrainError> {
        let group = self.answers as u64;
        let seeds = (first..).take(prompts.len()).flat_map(|number| (0..group).map(move |at| mix(seed, number, at)));
        let asked: Vec<&Prompt> =
            prompts.iter().flat_map(|prompt| std::iter::repeat_n(*prompt, self.answers)).collect();
        let ids: Vec<&[u32]> = asked.iter().map(|prompt| prompt.ids.as_slice()).collect();
        let sampling = sampling(self.tokenizer, self.max_new_tokens);
        let said = self.model.answers(&ids, &sampling, &seeds.collect::<Vec<_>>())?;
        let mut judged = said.into_iter().zip(asked).map(|(ids, prompt)| self.judge(ids, prompt));
        prompts.iter().map(|_| judged.by_ref().take(self.answers).collect()).collect()
    }

    fn judge(&self, ids: Vec<u32>, prompt: &Prompt) -> Result<Said, TrainError> {
        let text = self.tokenizer.decode(&ids)?;
        let rollout = Rollout { finished: ids.len() < self.max_new_tokens, ids, ..Rollout::default() };
        let reward = self.reward.judge(&rollout, &text, &prompt.judged);
        Ok(Said { ids: rollout.ids, text, reward })
    }
}
