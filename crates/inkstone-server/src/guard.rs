//! What stands before all routes: keys, limits, counts, the access log, origins.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::OwnedSemaphorePermit;

use crate::app::App;

/// Addresses that need no key: the page and what tells whether the server is alive.
fn is_free(path: &str) -> bool {
    matches!(path, "/" | "/health" | "/ready" | "/openapi.json") || path.starts_with("/web/")
}

pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let (began, method, path) = (Instant::now(), request.method().clone(), request.uri().path().to_owned());
    let origin = allowed_origin(&app, request.headers());
    let mut response = match (&method, &origin) {
        (&Method::OPTIONS, Some(_)) => StatusCode::NO_CONTENT.into_response(),
        _ if is_free(&path) => next.run(request).await,
        _ => match app.settings.keys.admit(request.headers()) {
            Ok(permit) => {
                let flight = Flight::new(&app, permit, &method, &path, began);
                hold(next.run(request).await, flight)
            }
            Err(error) => {
                tracing::info!(%method, path, status = error.status.as_u16(), "refused");
                error.into_response()
            }
        },
    };
    count(&app, response.status());
    if let Some(origin) = origin {
        allow(response.headers_mut(), origin);
    }
    response
}

fn count(app: &App, status: StatusCode) {
    app.counts.requests.fetch_add(1, Ordering::Relaxed);
    if status.is_client_error() {
        app.counts.refused.fetch_add(1, Ordering::Relaxed);
    } else if status.is_server_error() {
        app.counts.failed.fetch_add(1, Ordering::Relaxed);
    }
}

fn allowed_origin(app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let allowed = app.settings.cors.iter().any(|own| own == "*" || origin == own.as_str());
    allowed.then(|| origin.clone())
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    let names = HeaderValue::from_static("authorization, content-type, x-api-key, anthropic-version");
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
}

/// A request from its admission to the last byte of its answer.
struct Flight {
    app: Arc<App>,
    _permit: OwnedSemaphorePermit,
    method: Method,
    path: String,
    began: Instant,
    status: StatusCode,
    bytes: usize,
    complete: bool,
}

impl Flight {
    fn new(app: &Arc<App>, permit: OwnedSemaphorePermit, method: &Method, path: &str, began: Instant) -> Self {
        app.counts.in_flight.fetch_add(1, Ordering::Relaxed);
        let (method, path) = (method.clone(), path.to_owned());
        let app = Arc::clone(app);
        Self { app, _permit: permit, method, path, began, status: StatusCode::OK, bytes: 0, complete: false }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.app.counts.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Self { method, path, status, bytes, complete, .. } = self;
        let milliseconds = self.began.elapsed().as_millis() as u64;
        tracing::info!(%method, path, status = status.as_u16(), bytes, milliseconds, complete, "answered");
    }
}

/// A body that ends its flight when it is written, or dropped.
struct Held {
    body: BodyDataStream,
    flight: Flight,
}

impl futures_core::Stream for Held {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = Pin::new(&mut self.body).poll_next(context);
        match &next {
            Poll::Ready(Some(Ok(bytes))) => self.flight.bytes += bytes.len(),
            Poll::Ready(None) => self.flight.complete = true,
            _ => {}
        }
        next
    }
}

fn hold(response: Response, mut flight: Flight) -> Response {
    let (parts, body) = response.into_parts();
    flight.status = parts.status;
    Response::from_parts(parts, Body::from_stream(Held { body: body.into_data_stream(), flight }))
}
