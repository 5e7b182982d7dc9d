//! What is asked: the first question of each conversation, whose answer is known.

use inkstone_corpus::Split;
use inkstone_corpus::chat::{Message, Role, read_conversations};
use inkstone_recipe::{Context, StageError};
use inkstone_tokenizer::Tokenizer;

use crate::TrainError;

/// A prompt with the answer that is known to be right.
#[derive(Debug, Clone)]
pub(super) struct Prompt {
    pub(super) messages: Vec<Message>,
    pub(super) ids: Vec<u32>,
    pub(super) known: String,
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
    /// The first question of each conversation of the input `chat`.
    pub(super) fn prompts(&self, tokenizer: &Tokenizer, context: &Context<'_>) -> Result<Vec<Prompt>, StageError> {
        let (mut prompts, mut long) = (Vec::new(), 0);
        for conversation in read_conversations(&context.input("chat").folder, Split::Train).map_err(TrainError::from)? {
            let mut messages = conversation.map_err(TrainError::from)?.messages;
            let Some(at) = messages.iter().position(|message| message.role == Role::Assistant) else { continue };
            let known = messages[at].content.clone();
            messages.truncate(at);
            let ids = tokenizer.encode_chat(&messages, true).map_err(TrainError::from)?;
            if ids.is_empty() || ids.len() > self.room || known.chars().count() > self.max_known_characters {
                long += 1;
            } else {
                prompts.push(Prompt { messages, ids, known });
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
