//! Server-sent events: a body that is written as the answer comes.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Events that may wait for a slow reader.
const WAITING: usize = 64;
/// How long a reader may take for the next one of them.
const PATIENCE: Duration = Duration::from_secs(30);
/// After so long without an event a comment shows that the server is there.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Where events are written.
pub(crate) struct Events(Sender<Bytes>);

/// The reader is gone, or too slow.
pub(crate) struct Gone;

impl Events {
    /// An event without a name.
    pub(crate) async fn data(&self, value: &Value) -> Result<(), Gone> {
        self.send(format!("data: {value}\n\n")).await
    }

    /// An event with a name.
    pub(crate) async fn named(&self, name: &str, value: &Value) -> Result<(), Gone> {
        self.send(format!("event: {name}\ndata: {value}\n\n")).await
    }

    /// What ends a stream of the OpenAI API.
    pub(crate) async fn done(&self) -> Result<(), Gone> {
        self.send("data: [DONE]\n\n".into()).await
    }

    /// Nothing, to show that the server is there.
    pub(crate) async fn comment(&self) -> Result<(), Gone> {
        self.send(": still here\n\n".into()).await
    }

    async fn send(&self, text: String) -> Result<(), Gone> {
        let sent = tokio::time::timeout(PATIENCE, self.0.send(text.into())).await;
        sent.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

struct Reading(Receiver<Bytes>);

impl futures_core::Stream for Reading {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|bytes| bytes.map(Ok))
    }
}

/// Where to write, and the answer that is read.
pub(crate) fn events() -> (Events, Response) {
    let (sender, receiver) = channel(WAITING);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (Events(sender), (headers, Body::from_stream(Reading(receiver))).into_response())
}
