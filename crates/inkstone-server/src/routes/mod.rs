//! What can be asked.

pub(crate) mod chat;
pub(crate) mod completions;
pub(crate) mod embeddings;
pub(crate) mod messages;
pub(crate) mod plain;
pub(crate) mod responses;
pub(crate) mod tokens;

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::response::{IntoResponse, Response};
use inkstone_tokenizer::Tokenizer;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::answering::{Answers, Ask, answer};
use crate::app::App;
use crate::error::ApiError;
use crate::sse::{Events, Gone, events};

/// Answers with JSON.
fn json_response(value: Value) -> Response {
    Json(value).into_response()
}

/// The text of a token as clients are shown it, and its bytes.
fn token_json(tokenizer: &Tokenizer, id: u32, logprob: f32) -> Value {
    let bytes = tokenizer.token_bytes(id).unwrap_or_default();
    json!({ "token": String::from_utf8_lossy(&bytes), "logprob": finite(logprob), "bytes": bytes })
}

/// JSON has no infinity.
fn finite(logprob: f32) -> f32 {
    logprob.max(-9999.0)
}

/// Starts the answers and lets `write` write them as they come, on a task of their own: when the reader goes away, so does the
/// task, and with it the answers.
async fn stream<W, F>(app: Arc<App>, model: String, ask: Ask, write: W) -> Result<Response, ApiError>
where
    W: FnOnce(Arc<App>, String, Ask, Started) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (events, response) = events();
    let (told, hears) = oneshot::channel();
    tokio::spawn(write(app, model, ask, Started { events, told }));
    match hears.await {
        Ok(Ok(())) => Ok(response),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ApiError::internal("the answer was lost")),
    }
}

/// A stream that is about to begin.
pub(crate) struct Started {
    events: Events,
    told: oneshot::Sender<Result<(), ApiError>>,
}

impl Started {
    /// Starts the answers; whoever asked hears at once whether that went well.
    async fn begin<'a>(self, app: &'a App, model: &str, ask: Ask) -> Option<(Answers<'a>, Events)> {
        let answers = match app.model(Some(model)) {
            Ok(served) => answer(served, ask).await,
            Err(error) => Err(error),
        };
        match answers {
            Ok(answers) => self.told.send(Ok(())).is_ok().then_some((answers, self.events)),
            Err(error) => {
                // Nobody may be there to hear it.
                let _ = self.told.send(Err(error));
                None
            }
        }
    }
}

/// Notes how long the first piece of an answer took, when it comes.
fn note_once(app: &App, first: &mut bool, began: Instant) {
    if std::mem::take(first) {
        app.note_first(began);
    }
}

/// Waits for `next`, with a comment from time to time so that nobody takes the connection for dead.
async fn patiently<T>(events: &Events, next: impl Future<Output = T>) -> Result<T, Gone> {
    let mut next = std::pin::pin!(next);
    loop {
        match tokio::time::timeout(crate::sse::KEEP_ALIVE, &mut next).await {
            Ok(value) => return Ok(value),
            Err(_) => events.comment().await?,
        }
    }
}
