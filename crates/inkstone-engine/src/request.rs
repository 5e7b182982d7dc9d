//! What is asked of the engine, and what it answers.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::Sampling;

/// One text to go on from.
pub struct Request {
    /// The tokens to go on from.
    pub prompt: Vec<u32>,
    /// How tokens are drawn, and how many.
    pub sampling: Sampling,
    /// Log-probabilities with each new token: so many of the most likely ones beside its own.
    pub logprobs: Option<usize>,
    /// The same for the tokens of the prompt.
    pub prompt_logprobs: Option<usize>,
    /// Higher ones go first.
    pub priority: i32,
    /// When nobody needs the answer any more.
    pub deadline: Option<Instant>,
    /// What may come next.
    pub constraint: Option<Box<dyn Constraint>>,
    /// Who guesses tokens ahead.
    pub draft: Option<Box<dyn Draft>>,
    /// Takes the answer as it comes; breaks when nobody listens any more.
    pub sink: Box<dyn FnMut(Event) -> ControlFlow<()> + Send>,
    /// Set from outside when nobody listens any more.
    pub cancel: Cancel,
}

impl Request {
    /// A request without extras.
    pub fn new(
        prompt: Vec<u32>,
        sampling: Sampling,
        sink: impl FnMut(Event) -> ControlFlow<()> + Send + 'static,
    ) -> Self {
        Self {
            prompt,
            sampling,
            logprobs: None,
            prompt_logprobs: None,
            priority: 0,
            deadline: None,
            constraint: None,
            draft: None,
            sink: Box::new(sink),
            cancel: Cancel::default(),
        }
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("prompt_tokens", &self.prompt.len()).finish_non_exhaustive()
    }
}

/// A switch that ends a request.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the request; its blocks are free before the next pass.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is ended.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Says which tokens may come next.
pub trait Constraint: Send {
    /// Sets the logits of tokens that may not come next to −∞.
    ///
    /// # Errors
    /// What went wrong; the request fails with it.
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), String>;

    /// Takes note of the token that was drawn. True when the text is complete and nothing may follow.
    ///
    /// # Errors
    /// As [`mask`](Self::mask).
    fn accept(&mut self, id: u32) -> Result<bool, String>;
}

/// Guesses tokens ahead, which one pass then checks together (arXiv:2211.17192). The tokens that come out are the same with it
/// and without it.
pub trait Draft: Send {
    /// At most `most` tokens that may follow `tokens`.
    fn propose(&mut self, tokens: &[u32], most: usize) -> Vec<u32>;
}

/// What comes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The tokens of the prompt with their log-probabilities, where asked for; the first one has none.
    Prompt(Vec<Scored>),
    /// The next token.
    Token(Scored),
    /// Nothing follows.
    Finished(Finished),
}

/// A token with its log-probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The token.
    pub id: u32,
    /// Its log-probability under the model, before temperature and penalties, where asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens in its place, most likely first.
    pub top: Vec<(u32, f32)>,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Why.
    pub reason: Reason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those whose keys and values were there already.
    pub cached_tokens: usize,
    /// New tokens, a stop token included.
    pub completion_tokens: usize,
}

/// Why a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// A stop token, or a constraint that was fulfilled.
    Stop,
    /// As many tokens as asked for, or the end of the model's context.
    Length,
    /// Nobody listened any more.
    Cancelled,
    /// The deadline passed.
    Deadline,
    /// The constraint failed.
    Failed(String),
}
