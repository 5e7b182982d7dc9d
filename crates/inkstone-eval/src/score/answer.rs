//! How an example is put to a model, and how its answer is read: written freely, or chosen among all answers that there are, by
//! likelihood (arXiv:2005.14165, section 2.4); after some examples with their answers, where there are any.

use std::ops::ControlFlow;

use inkstone_corpus::examples::{Example, Task};
use inkstone_engine::{Sampling, generate};
use inkstone_models::{Kind, Model, NoObserver, Pass, Source};
use inkstone_tokenizer::Tokenizer;
use inkstone_train::text_source;

use crate::EvalError;

/// Who answers, and how it is asked.
pub(super) struct Asker<'a> {
    pub(super) model: &'a Model,
    pub(super) tokenizer: &'a Tokenizer,
    /// What stands before each text.
    pub(super) prefix: &'a str,
    /// What stands between a text and its answer, where both stand in one row of a prompt.
    pub(super) between: &'a str,
    /// Examples that are shown with their answers.
    pub(super) shots: &'a [Example],
    pub(super) max_new_tokens: usize,
}

impl Asker<'_> {
    /// The answer that the model writes.
    pub(super) fn write(&self, task: &Task) -> Result<String, EvalError> {
        let prompt = self.prompt(task)?;
        let sampling =
            Sampling { max_new_tokens: self.max_new_tokens, stop_ids: self.tokenizer.stop_ids(), ..Sampling::greedy() };
        let ids = generate(self.model, &prompt, &sampling, &mut |_| ControlFlow::Continue(()))?;
        let text = self.tokenizer.decode(&ids)?;
        // After examples a model goes on with another one.
        let answer = if self.shots.is_empty() { &text[..] } else { text.lines().next().unwrap_or_default() };
        Ok(answer.trim().to_owned())
    }

    /// The likeliest of `answers`, by the token.
    pub(super) fn choose(&self, task: &Task, answers: &[String]) -> Result<usize, EvalError> {
        let prompt = self.prompt(task)?;
        let mut best = (f64::NEG_INFINITY, 0);
        for (n, answer) in answers.iter().enumerate() {
            let answer = self.tokenizer.encode(answer)?;
            let likelihood = self.likelihood(&prompt, &answer) / answer.len().max(1) as f64;
            if likelihood > best.0 {
                best = (likelihood, n);
            }
        }
        Ok(best.1)
    }

    /// The source of an encoder-decoder; of a decoder the examples and the text, up to where the answer begins. What a model was
    /// tuned on ends with the end of a text; a prompt with what stands between.
    fn prompt(&self, task: &Task) -> Result<Vec<u32>, EvalError> {
        let source = text_source(self.prefix, task);
        if self.shots.is_empty() && self.between.is_empty() {
            let mut ids = self.tokenizer.encode(&source)?;
            ids.truncate(self.model.context().saturating_sub(2));
            ids.extend(self.tokenizer.eos());
            return Ok(ids);
        }
        let mut text = String::new();
        for shot in self.shots {
            text.push_str(&text_source(self.prefix, &shot.task));
            text.push_str(self.between);
            text.push_str(&shot.task.answer.words());
            text.push('\n');
        }
        let ids = self.tokenizer.encode(&(text + &source + self.between))?;
        let most = self.model.context().saturating_sub(self.max_new_tokens + 1);
        Ok(ids[ids.len().saturating_sub(most)..].to_vec())
    }

    /// The log-probability of `answer` after `prompt`.
    fn likelihood(&self, prompt: &[u32], answer: &[u32]) -> f64 {
        let mut observer = NoObserver;
        let loss = if self.model.kind() == Kind::EncoderDecoder {
            let before = &answer[..answer.len().saturating_sub(1)];
            let ids: Vec<u32> = std::iter::once(self.model.start_token()).chain(before.iter().copied()).collect();
            let labels: Vec<i32> = answer.iter().map(|&id| id as i32).collect();
            let source = Some(Source { ids: prompt, lengths: None });
            let mut pass = Pass { source, ..Pass::new(&mut observer) };
            self.model.loss_in(&ids, (&labels, &[]), 1, &mut pass)
        } else {
            let whole: Vec<u32> = prompt.iter().chain(answer).copied().collect();
            let ids = &whole[..whole.len() - 1];
            let labels: Vec<i32> =
                (1..whole.len()).map(|at| if at < prompt.len() { -1 } else { whole[at] as i32 }).collect();
            self.model.loss_in(ids, (&labels, &[]), 1, &mut Pass::new(&mut observer))
        };
        -loss.losses.iter().map(|&nats| f64::from(nats)).sum::<f64>()
    }
}
