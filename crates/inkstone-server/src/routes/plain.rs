//! Models, health, metrics, load, the `OpenAPI` document, the page.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use inkstone_engine::Load;
use serde_json::{Value, json};

use super::json_response;
use crate::app::App;
use crate::error::ApiError;
use crate::model::Served;

fn model_json(served: &Served) -> Value {
    json!({
        "id": served.name, "object": "model", "created": served.created, "owned_by": "inkstone",
        "max_model_len": served.model.context(), "kind": served.model.kind(), "chat": served.tokenizer.has_chat_template(),
    })
}

pub(crate) async fn models(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    let data: Vec<Value> = app.models()?.iter().map(model_json).collect();
    Ok(json_response(json!({ "object": "list", "data": data })))
}

pub(crate) async fn model(State(app): State<Arc<App>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    app.model(Some(name.trim_start_matches('/'))).map(|served| json_response(model_json(served)))
}

/// It runs.
pub(crate) async fn health() -> Response {
    json_response(json!({ "status": "ok" }))
}

/// It answers.
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<Response, ApiError> {
    app.models().map(|_| json_response(json!({ "status": "ready" })))
}

fn loads(app: &App) -> Vec<(&str, Load)> {
    let with_engine = |served: &'_ Served| Some(served.engine().ok()?.load());
    let models = app.models.get().map(Vec::as_slice).unwrap_or_default();
    models.iter().filter_map(|served| Some((served.name.as_str(), with_engine(served)?))).collect()
}

/// What the page shows of the load.
pub(crate) async fn load(State(app): State<Arc<App>>) -> Response {
    let models: Vec<Value> = loads(&app)
        .into_iter()
        .map(|(name, load)| {
            json!({
                "model": name, "running": load.running, "waiting": load.waiting, "blocks": load.blocks,
                "blocks_held": load.blocks_held, "blocks_idle": load.blocks_idle, "new_tokens": load.new_tokens,
                "prompt_tokens": load.prompt_tokens, "cached_tokens": load.cached_tokens, "seconds": load.seconds,
            })
        })
        .collect();
    let in_flight = app.counts.in_flight.load(Ordering::Relaxed);
    let uptime = app.started.elapsed().as_secs();
    json_response(json!({ "models": models, "requests": in_flight, "uptime_seconds": uptime }))
}

/// What Prometheus reads (its text format, version 0.0.4).
pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Response {
    let count = |n: &std::sync::atomic::AtomicU64| n.load(Ordering::Relaxed);
    let (micros, firsts) = (count(&app.counts.first_piece.0), count(&app.counts.first_piece.1));
    let mut text = String::new();
    let mut server = |name: &str, kind: &str, value: f64| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "# TYPE inkstone_{name} {kind}\ninkstone_{name} {value}");
    };
    server("requests_total", "counter", count(&app.counts.requests) as f64);
    server("requests_refused_total", "counter", count(&app.counts.refused) as f64);
    server("requests_failed_total", "counter", count(&app.counts.failed) as f64);
    server("requests_in_flight", "gauge", count(&app.counts.in_flight) as f64);
    server("first_piece_seconds_sum", "counter", micros as f64 / 1e6);
    server("first_piece_seconds_count", "counter", firsts as f64);
    server("uptime_seconds", "gauge", app.started.elapsed().as_secs_f64());
    let loads = loads(&app);
    for (name, kind, value) in ENGINE {
        let _ = writeln!(text, "# TYPE inkstone_{name} {kind}");
        for (model, load) in &loads {
            let label = model.replace(['\\', '"', '\n'], "_");
            let _ = writeln!(text, "inkstone_{name}{{model=\"{label}\"}} {}", value(load));
        }
    }
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// A number of an engine: its name, its kind, how it is read.
type Metric = (&'static str, &'static str, fn(&Load) -> f64);

const ENGINE: [Metric; 12] = [
    ("sequences_running", "gauge", |load| load.running as f64),
    ("sequences_waiting", "gauge", |load| load.waiting as f64),
    ("blocks", "gauge", |load| load.blocks as f64),
    ("blocks_held", "gauge", |load| load.blocks_held as f64),
    ("blocks_idle", "gauge", |load| load.blocks_idle as f64),
    ("prompt_tokens_total", "counter", |load| load.prompt_tokens as f64),
    ("cached_tokens_total", "counter", |load| load.cached_tokens as f64),
    ("new_tokens_total", "counter", |load| load.new_tokens as f64),
    ("drafted_tokens_total", "counter", |load| load.drafted_tokens.0 as f64),
    ("accepted_tokens_total", "counter", |load| load.drafted_tokens.1 as f64),
    ("preempted_total", "counter", |load| load.preempted as f64),
    ("pass_seconds_total", "counter", |load| load.seconds),
];

/// The description of the API.
pub(crate) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], include_str!("../../openapi.json")).into_response()
}

/// Whatever is not there.
pub(crate) async fn nothing() -> ApiError {
    ApiError::not_found("such address; `GET /openapi.json` lists them")
}

/// Whatever is there, but is asked for otherwise.
pub(crate) async fn otherwise() -> ApiError {
    ApiError::method()
}
