//! Plain generation with a key-value cache: one prompt, one token at a time. The oracle of every
//! faster way.

use std::ops::ControlFlow;

use inkstone_kernels::awake;
use inkstone_models::{Cache, Kind, Model, Source};

use crate::Sampling;

/// Why nothing was generated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A model that does not predict the next token.
    #[error("this model does not go on from a text: it is no decoder")]
    NoDecoder,
    /// A model with learnt tokens before its prompts, which are not kept in blocks.
    #[error("this model reads {count} learnt tokens before each prompt, and answers one prompt at a time only")]
    VirtualTokens {
        /// How many.
        count: usize,
    },
    /// A model that adds biases of its own to the scores, which are not known for tokens of several sequences.
    #[error("this model adds biases of its own to its scores, and answers one prompt at a time only")]
    OneByOne,
    /// Nothing to go on from.
    #[error("the prompt has no tokens")]
    EmptyPrompt,
    /// A prompt that leaves no room for an answer.
    #[error("the prompt has {tokens} tokens, the model's context is {context}")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// The model's context.
        context: usize,
    },
    /// A token id beyond the vocabulary.
    #[error("token id {id} is outside the model's vocabulary of {vocab_size}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// The model's vocabulary.
        vocab_size: usize,
    },
    /// A request that could never be held.
    #[error("the request needs up to {tokens} tokens of keys and values, where there is room for {room}")]
    NoRoom {
        /// Tokens of prompt and answer.
        tokens: usize,
        /// Tokens that the blocks hold.
        room: usize,
    },
    /// Too many requests wait already.
    #[error("{waiting} requests are waiting already")]
    Busy {
        /// Requests in the queue.
        waiting: usize,
    },
    /// The engine was stopped.
    #[error("the engine was stopped")]
    Stopped,
    /// Settings that make no sense.
    #[error("sampling: {0}")]
    Sampling(String),
}

impl EngineError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoDecoder => "generate wants a decoder, such as llama or gpt2, or an encoder-decoder, such as t5",
            Self::VirtualTokens { .. } => "use `generate` or `chat`, or an adapter that can be merged (LoRA)",
            Self::OneByOne => "use `generate` or `chat`",
            Self::EmptyPrompt => "give it some text to go on from",
            Self::PromptTooLong { .. } => "shorten the text, or train a model with a larger `context`",
            Self::UnknownToken { .. } => "the tokenizer is not the one that the model was trained with",
            Self::NoRoom { .. } => "ask for fewer tokens, or give the engine more memory",
            Self::Busy { .. } => "try again in a moment",
            Self::Stopped | Self::Sampling(_) => return None,
        })
    }
}

/// What gives the next token's logits.
pub trait NextToken {
    /// Logits after `new` tokens, which go on from those given before.
    fn logits(&mut self, new: &[u32]) -> Vec<f32>;

    /// Token ids.
    fn vocab_size(&self) -> usize;

    /// Tokens that it can take in all.
    fn context(&self) -> usize;
}

/// Goes on from `prompt` (an encoder-decoder: says what it makes of `prompt`) until a stop token, `max_new_tokens`, the end of the model's context, or
/// until `on_token` breaks. Returns the new tokens, without the stop token.
pub fn generate(
    model: &Model,
    prompt: &[u32],
    sampling: &Sampling,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<Vec<u32>, EngineError> {
    match model.kind() {
        Kind::Encoder => Err(EngineError::NoDecoder),
        Kind::Decoder => {
            let room = sampling.max_new_tokens.min(model.context().saturating_sub(prompt.len()));
            let cache = model.cache(prompt.len() + room);
            generate_with(&mut Cached { model, source: None, cache }, prompt, sampling, on_token)
        }
        Kind::EncoderDecoder => {
            check((model.vocab_size(), model.context()), prompt, sampling)?;
            let cache = model.cache(1 + sampling.max_new_tokens.min(model.context()));
            let mut reading = Cached { model, source: Some(prompt), cache };
            generate_with(&mut reading, &[model.start_token()], sampling, on_token)
        }
    }
}

/// A model with its key-value cache.
struct Cached<'a> {
    model: &'a Model,
    /// What an encoder-decoder reads.
    source: Option<&'a [u32]>,
    cache: Cache,
}

impl NextToken for Cached<'_> {
    fn logits(&mut self, new: &[u32]) -> Vec<f32> {
        let source = self.source.map(|ids| Source { ids, lengths: None });
        awake(|| self.model.last_logits_after(source, new, &mut self.cache))
    }

    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    fn context(&self) -> usize {
        self.model.context()
    }
}

/// As [`generate`], over anything that gives logits.
pub fn generate_with(
    model: &mut dyn NextToken,
    prompt: &[u32],
    sampling: &Sampling,
    on_token: &mut dyn FnMut(u32) -> ControlFlow<()>,
) -> Result<Vec<u32>, EngineError> {
    check((model.vocab_size(), model.context()), prompt, sampling)?;
    let room = sampling.max_new_tokens.min(model.context() - prompt.len());
    let mut tokens = prompt.to_vec();
    let mut unseen = 0;
    for _ in 0..room {
        let mut logits = model.logits(&tokens[unseen..]);
        unseen = tokens.len();
        let next = sampling.next(&mut logits, &tokens, prompt.len());
        if sampling.stop_ids.contains(&next) {
            break;
        }
        tokens.push(next);
        if on_token(next).is_break() {
            break;
        }
    }
    Ok(tokens.split_off(prompt.len()))
}

/// Refuses what makes no sense.
pub(crate) fn check(
    (vocab_size, context): (usize, usize),
    prompt: &[u32],
    sampling: &Sampling,
) -> Result<(), EngineError> {
    sampling.validate().map_err(EngineError::Sampling)?;
    if prompt.is_empty() {
        return Err(EngineError::EmptyPrompt);
    }
    if prompt.len() >= context {
        return Err(EngineError::PromptTooLong { tokens: prompt.len(), context });
    }
    match prompt.iter().find(|&&id| id as usize >= vocab_size) {
        Some(&id) => Err(EngineError::UnknownToken { id, vocab_size }),
        None => Ok(()),
    }
}
