//! What is asked: judged questions, or the first question of each conversation, whose answer is known.

use inkstone_corpus::Split;
use inkstone_corpus::chat::{Message, Role, read_conversations};
use inkstone_corpus::judged::{Judged, read_judged};
use inkstone_recipe::{Context, StageError};
use inkstone_tokenizer::Tokenizer;

use crate::TrainError;
use crate::preference::order;

/// Kinds of stages whose questions can be asked.
pub(super) const QUESTIONS: &[&str] = &["world", "arithmetic", "chat"];

/// A prompt and how its answers are judged.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub(super) messages: Vec<Message>,
    pub(super) ids: Vec<u32>,
    pub(super) judged: Judged,
}

/// Which questions will do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking {
    /// Tokens of a prompt at most.
    pub(super) room: usize,
    /// Characters of the known answer at most.
    pub(super) max_known_characters: usize,
}

impl Asking {
    /// The questions of a split of the input `questions` that leave room for an answer.
    pub(super) fn prompts(
        &self,
        tokenizer: &Tokenizer,
        split: Split,
        context: &Context<'_>,
    ) -> Result<Vec<Prompt>, StageError> {
        let (mut prompts, mut long) = (Vec::new(), 0);
        for (messages, judged) in questions(split, context)? {
            let ids = tokenizer.encode_chat(&messages, true).map_err(TrainError::from)?;
            if ids.is_empty() || ids.len() > self.room || judged.answer.chars().count() > self.max_known_characters {
                long += 1;
            } else {
                prompts.push(Prompt { messages, ids, judged });
            }
        }
        if long > 0 {
            context.progress.warn(&format!("{long} prompts are left out: too long, or with a known answer that is"));
        }
        if prompts.is_empty() {
            let hint = "raise `context`, or lower `max_new_tokens`";
            return Err(StageError::failed("no prompt leaves room for an answer", hint));
        }
        Ok(prompts)
    }
}

/// At most `most` of the prompts, in an order drawn from the seed.
pub(super) fn drawn(prompts: &[Prompt], seed: u64, most: usize) -> Vec<&Prompt> {
    order(seed, 0, prompts.len()).into_iter().take(most).map(|at| &prompts[at]).collect()
}

/// The judged questions of the artifact; where it has none, the first question of each of its conversations with its answer.
fn questions(split: Split, context: &Context<'_>) -> Result<Vec<(Vec<Message>, Judged)>, TrainError> {
    let folder = &context.input("questions").folder;
    let judged = read_judged(folder, split)?;
    if !judged.is_empty() {
        let ask = |judged: Judged| (vec![Message { role: Role::User, content: judged.question.clone() }], judged);
        return Ok(judged.into_iter().map(ask).collect());
    }
    let mut asked = Vec::new();
    for conversation in read_conversations(folder, split)? {
        let mut messages = conversation?.messages;
        let Some(at) = messages.iter().position(|message| message.role == Role::Assistant) else { continue };
        let answer = messages[at].content.clone();
        messages.truncate(at);
        asked.push((messages, Judged { answer, ..Judged::default() }));
    }
    Ok(asked)
}
