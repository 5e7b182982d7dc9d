//! From prompts of ids to pieces of text, for any of the routes.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use inkstone_engine::{Cancel, Event, Reason, Request, Sampling, Scored};
use inkstone_tokenizer::{StopStrings, StreamDecoder};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::constraint::Shape;
use crate::error::ApiError;
use crate::model::Served;

/// What a route asks for.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) prompt: Vec<u32>,
    pub(crate) sampling: Sampling,
    /// Answers.
    pub(crate) n: usize,
    pub(crate) stop: Vec<String>,
    pub(crate) logprobs: Option<usize>,
    pub(crate) prompt_logprobs: Option<usize>,
    pub(crate) shape: Option<Shape>,
    pub(crate) priority: i32,
    pub(crate) deadline: Option<Instant>,
}

/// What comes next of one of the answers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    /// The scores of the prompt's tokens.
    Prompt(Vec<Scored>),
    /// Text, which may be empty, and the tokens since the last piece.
    Text(String, Vec<Scored>),
    /// The end.
    End(End),
}

/// How an answer ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct End {
    pub(crate) reason: Finish,
    pub(crate) usage: Usage,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finish {
    /// A stop token, a stop string (which one), or the end of a constraint.
    Stop(Option<String>),
    /// As many tokens as were asked for.
    Length,
    /// It was not to be finished.
    Failed(String),
}

/// Tokens that were read and written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: usize,
    pub(crate) cached: usize,
    pub(crate) completion: usize,
}

impl Usage {
    /// The prompt counts once, however many answers it has.
    pub(crate) fn add(&mut self, other: Self) {
        self.prompt = self.prompt.max(other.prompt);
        self.cached = self.cached.max(other.cached);
        self.completion += other.completion;
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "prompt_tokens": self.prompt, "completion_tokens": self.completion, "total_tokens": self.prompt + self.completion,
            "prompt_tokens_details": { "cached_tokens": self.cached },
        })
    }
}

/// Answers under way. When this is dropped, the engine forgets them.
pub(crate) struct Answers<'a> {
    events: UnboundedReceiver<(usize, Event)>,
    choices: Vec<Choice<'a>>,
    ready: VecDeque<(usize, Piece)>,
}

/// One of the answers.
struct Choice<'a> {
    decoder: Option<StreamDecoder<'a>>,
    stopper: StopStrings,
    tokens: Vec<Scored>,
    completion: usize,
    cancel: Cancel,
    ended: bool,
}

impl Drop for Choice<'_> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Starts the answers.
///
/// # Errors
/// If the model has no engine, or its engine refuses.
pub(crate) async fn answer(served: &Served, ask: Ask) -> Result<Answers<'_>, ApiError> {
    let engine = served.engine()?;
    let prompt = served.prompt(ask.prompt);
    let (sender, events) = unbounded_channel();
    let mut choices = Vec::new();
    for index in 0..ask.n.max(1) {
        let sender = sender.clone();
        let sampling = Sampling { seed: ask.sampling.seed.wrapping_add(index as u64), ..ask.sampling.clone() };
        let request = Request::new(prompt.clone(), sampling, move |event| match sender.send((index, event)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        });
        let cancel = request.cancel.clone();
        let request = Request {
            logprobs: ask.logprobs,
            prompt_logprobs: ask.prompt_logprobs,
            priority: ask.priority,
            deadline: ask.deadline,
            constraint: ask.shape.as_ref().map(|shape| served.grammars.constraint(shape)).transpose()?,
            draft: Some(served.drafter()),
            ..request
        };
        let (decoder, stopper) = (Some(served.tokenizer.decoder()), StopStrings::new(&ask.stop));
        choices.push(Choice { decoder, stopper, tokens: Vec::new(), completion: 0, cancel, ended: false });
        let engine = Arc::clone(engine);
        let submitted = tokio::task::spawn_blocking(move || engine.submit(request)).await;
        submitted.map_err(|error| ApiError::internal(error.to_string()))??;
    }
    Ok(Answers { events, choices, ready: VecDeque::new() })
}

impl Answers<'_> {
    /// What comes next of any of the answers, with its index; nothing when all have ended.
    pub(crate) async fn next(&mut self) -> Option<(usize, Piece)> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(piece);
            }
            if self.choices.iter().all(|choice| choice.ended) {
                return None;
            }
            match self.events.recv().await {
                Some((index, event)) => self.hear(index, event),
                None => self.fail_all(),
            }
        }
    }

    /// The engine is gone.
    fn fail_all(&mut self) {
        for (index, choice) in self.choices.iter_mut().enumerate().filter(|(_, choice)| !choice.ended) {
            choice.ended = true;
            let reason = Finish::Failed("the engine stopped".into());
            self.ready.push_back((index, Piece::End(End { reason, usage: Usage::default() })));
        }
    }

    fn hear(&mut self, index: usize, event: Event) {
        let choice = &mut self.choices[index];
        match event {
            Event::Prompt(scores) => self.ready.push_back((index, Piece::Prompt(scores))),
            Event::Token(token) if choice.stopper.met().is_none() => {
                choice.completion += 1;
                let piece = choice.decoder.as_mut().and_then(|decoder| decoder.push(token.id)).unwrap_or_default();
                choice.tokens.push(token);
                let (text, stopped) = choice.stopper.push(&piece);
                if stopped {
                    choice.cancel.cancel();
                }
                if !text.is_empty() {
                    let tokens = std::mem::take(&mut choice.tokens);
                    self.ready.push_back((index, Piece::Text(text, tokens)));
                }
            }
            Event::Token(_) => {}
            Event::Finished(finished) => {
                let usage = Usage {
                    prompt: finished.prompt_tokens,
                    cached: finished.cached_tokens,
                    completion: if choice.stopper.met().is_some() {
                        choice.completion
                    } else {
                        finished.completion_tokens
                    },
                };
                let text = choice.finish();
                let reason = match finished.reason {
                    _ if choice.stopper.met().is_some() => Finish::Stop(choice.stopper.met().map(str::to_owned)),
                    Reason::Stop => Finish::Stop(None),
                    Reason::Length => Finish::Length,
                    Reason::Cancelled => Finish::Failed("cancelled".into()),
                    Reason::Deadline => Finish::Failed("the time for this request is over".into()),
                    Reason::Failed(reason) => Finish::Failed(reason),
                };
                let tokens = std::mem::take(&mut choice.tokens);
                if !text.is_empty() || !tokens.is_empty() {
                    self.ready.push_back((index, Piece::Text(text, tokens)));
                }
                self.ready.push_back((index, Piece::End(End { reason, usage })));
            }
        }
    }
}

impl Choice<'_> {
    /// The text that was held back.
    fn finish(&mut self) -> String {
        self.ended = true;
        if self.stopper.met().is_some() {
            return String::new();
        }
        let rest = self.decoder.take().and_then(StreamDecoder::finish).unwrap_or_default();
        let (mut text, stopped) = self.stopper.push(&rest);
        if !stopped {
            text.push_str(&self.stopper.rest());
        }
        text
    }
}
