//! `POST /v1/messages`, the API of Anthropic's clients.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use inkstone_tokenizer::Turn;
use serde_json::{Map, Value, json};

use super::{Started, json_response, note_once, patiently, stream};
use crate::answering::{Ask, End, Finish, Usage, answer};
use crate::app::{App, object};
use crate::chat::{Conversation, Said, Speaking, content, whole};
use crate::error::ApiError;
use crate::fields::Fields;
use crate::model::Served;
use crate::sampling::sampling;
use crate::sse::Gone;
use crate::tools::{Call, Choice, Tools};

/// An error as this API writes it.
pub(crate) struct Wrong(ApiError);

impl From<ApiError> for Wrong {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let own = self.0.json();
        let mut response = self.0.into_response();
        let error =
            json!({ "type": "error", "error": { "type": own["error"]["type"], "message": own["error"]["message"] } });
        *response.body_mut() = Body::from(error.to_string());
        response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
        response
    }
}

pub(crate) async fn messages(State(app): State<Arc<App>>, body: Body) -> Result<Response, Wrong> {
    let fields = object(&app.body(body).await?)?;
    let fields = Fields(&fields);
    let served = app.model(fields.text("model")?)?;
    fields.refuse(&[
        ("thinking", &[json!({ "type": "disabled" })]),
        ("mcp_servers", &[json!([])]),
        ("container", &[]),
        ("output_config", &[]),
    ])?;
    let tools = tools(&fields)?;
    let ask = ask(&fields, &app, served, &tools)?;
    if fields.flag("stream")?.unwrap_or(false) {
        let model = served.name.clone();
        let response = stream(Arc::clone(&app), model, ask, move |app, model, ask, started| async move {
            // A reader that is gone is nothing to report.
            let _ = write(&app, &model, ask, &tools, started).await;
        });
        return Ok(response.await?);
    }
    let began = Instant::now();
    let (all, usage) = whole(Speaking::new(answer(served, ask).await?, 1, &tools), 1).await?;
    app.note_first(began);
    let one = all.into_iter().next().unwrap_or_default();
    let mut blocks = Vec::new();
    if !one.text.is_empty() || one.calls.is_empty() {
        blocks.push(json!({ "type": "text", "text": one.text }));
    }
    blocks.extend(one.calls.iter().map(|call| tool_use(&app, call)));
    let (stop_reason, stop_sequence) = ending(one.finish.as_ref(), !one.calls.is_empty());
    Ok(json_response(json!({
        "id": app.id("msg_"), "type": "message", "role": "assistant", "model": served.name, "content": blocks,
        "stop_reason": stop_reason, "stop_sequence": stop_sequence, "usage": usage_json(usage),
    })))
}

fn usage_json(usage: Usage) -> Value {
    json!({
        "input_tokens": usage.prompt - usage.cached, "cache_read_input_tokens": usage.cached,
        "cache_creation_input_tokens": 0, "output_tokens": usage.completion,
    })
}

fn ending(finish: Option<&Finish>, called: bool) -> (&'static str, Option<&str>) {
    match finish {
        _ if called => ("tool_use", None),
        Some(Finish::Length) => ("max_tokens", None),
        Some(Finish::Stop(Some(met))) => ("stop_sequence", Some(met)),
        _ => ("end_turn", None),
    }
}

fn tool_use(app: &App, call: &Call) -> Value {
    let input = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
    json!({ "type": "tool_use", "id": app.id("toolu_"), "name": call.name, "input": input })
}

fn tools(fields: &Fields<'_>) -> Result<Tools, ApiError> {
    let all = fields.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let function = |tool: &Value| json!({ "name": tool["name"], "description": tool["description"], "parameters": tool["input_schema"] });
    let choice = fields.get("tool_choice");
    let kind = choice.and_then(|choice| choice.get("type")).and_then(Value::as_str);
    let name = choice.and_then(|choice| choice.get("name")).and_then(Value::as_str);
    let wanted = match (kind, name) {
        (None | Some("auto"), _) => Choice::Auto,
        (Some("any"), _) => Choice::Required,
        (Some("none"), _) => Choice::None,
        (Some("tool"), Some(name)) => Choice::Named(name.to_owned()),
        _ => return Err(ApiError::field("tool_choice", "`tool_choice`: `type` is auto, any, none or tool")),
    };
    let one = choice.and_then(|choice| choice.get("disable_parallel_tool_use")) == Some(&Value::Bool(true));
    Tools { functions: all.iter().map(function).collect(), choice: wanted, parallel: !one }.check()
}

fn ask(fields: &Fields<'_>, app: &App, served: &Served, tools: &Tools) -> Result<Ask, ApiError> {
    let most = fields.count("max_tokens", (1, 1 << 24))?;
    let most = most.ok_or_else(|| ApiError::field("max_tokens", "`max_tokens` is missing"))?;
    let mut turns = Vec::new();
    let system = content(fields.get("system"), "system")?;
    if !system.is_empty() {
        turns.push(Turn { role: "system".into(), content: system, extra: Map::new() });
    }
    let messages = fields.get("messages").and_then(Value::as_array);
    for message in messages.ok_or_else(|| ApiError::field("messages", "`messages`: expected a list"))? {
        add_turns(message, &mut turns)?;
    }
    let goes_on = turns.last().is_some_and(|turn| turn.role == "assistant");
    let conversation = Conversation { turns, tools: tools.clone(), goes_on, variables: Map::new() };
    let prompt = conversation.prompt(served)?;
    let room = served.model.context().saturating_sub(prompt.len());
    Ok(Ask {
        prompt,
        sampling: sampling(fields, served, most.min(room.max(1)))?,
        n: 1,
        stop: fields.texts("stop_sequences", 16)?,
        logprobs: None,
        prompt_logprobs: None,
        shape: tools.shape(),
        priority: 0,
        deadline: Some(app.deadline()),
    })
}

/// A message may hold results of several tools, which are messages of their own.
fn add_turns(message: &Value, turns: &mut Vec<Turn>) -> Result<(), ApiError> {
    let role = message.get("role").and_then(Value::as_str).filter(|role| matches!(*role, "user" | "assistant"));
    let role = role.ok_or_else(|| ApiError::field("messages", "`messages`: `role` is user or assistant"))?;
    let Some(Value::Array(blocks)) = message.get("content") else {
        let content = content(message.get("content"), "messages")?;
        turns.push(Turn { role: role.to_owned(), content, extra: Map::new() });
        return Ok(());
    };
    let (mut text, mut calls) = (String::new(), Vec::new());
    for block in blocks {
        match block.get("type").and_then(Value::as_str) {
            Some("tool_use") => {
                let function = json!({ "name": block["name"], "arguments": block["input"] });
                calls.push(json!({ "id": block["id"], "type": "function", "function": function }));
            }
            Some("tool_result") => {
                let extra = Map::from_iter([("tool_call_id".to_owned(), block["tool_use_id"].clone())]);
                let content = content(block.get("content"), "messages")?;
                turns.push(Turn { role: "tool".into(), content, extra });
            }
            _ => text.push_str(&content(Some(&json!([block])), "messages")?),
        }
    }
    if !text.is_empty() || !calls.is_empty() {
        let extra = if calls.is_empty() { Map::new() } else { Map::from_iter([("tool_calls".into(), calls.into())]) };
        turns.push(Turn { role: role.to_owned(), content: text, extra });
    }
    Ok(())
}

async fn write(app: &App, model: &str, ask: Ask, tools: &Tools, started: Started) -> Result<(), Gone> {
    let (id, began) = (app.id("msg_"), Instant::now());
    let Some((answers, events)) = started.begin(app, model, ask).await else { return Ok(()) };
    let mut speaking = Speaking::new(answers, 1, tools);
    let message = json!({
        "id": id, "type": "message", "role": "assistant", "model": model, "content": [], "stop_reason": null,
        "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 },
    });
    events.named("message_start", &json!({ "type": "message_start", "message": message })).await?;
    let (mut index, mut open, mut first) = (0, false, true);
    let start =
        |index: usize, block: Value| json!({ "type": "content_block_start", "index": index, "content_block": block });
    let delta = |index: usize, delta: Value| json!({ "type": "content_block_delta", "index": index, "delta": delta });
    let stop = |index: usize| json!({ "type": "content_block_stop", "index": index });
    while let Some((_, said)) = patiently(&events, speaking.next()).await? {
        note_once(app, &mut first, began);
        match said {
            Said::Text(text, _) if text.is_empty() => {}
            Said::Text(text, _) => {
                if !std::mem::replace(&mut open, true) {
                    events.named("content_block_start", &start(index, json!({ "type": "text", "text": "" }))).await?;
                }
                events
                    .named("content_block_delta", &delta(index, json!({ "type": "text_delta", "text": text })))
                    .await?;
            }
            Said::Call(call) => {
                if std::mem::take(&mut open) {
                    events.named("content_block_stop", &stop(index)).await?;
                    index += 1;
                }
                let mut block = tool_use(app, &call);
                block["input"] = json!({});
                events.named("content_block_start", &start(index, block)).await?;
                let arguments = json!({ "type": "input_json_delta", "partial_json": call.arguments });
                events.named("content_block_delta", &delta(index, arguments)).await?;
                events.named("content_block_stop", &stop(index)).await?;
                index += 1;
            }
            Said::End(End { reason: Finish::Failed(reason), .. }) => {
                let error = json!({ "type": "error", "error": { "type": "api_error", "message": reason } });
                events.named("error", &error).await?;
            }
            Said::End(end) => {
                if std::mem::take(&mut open) {
                    events.named("content_block_stop", &stop(index)).await?;
                }
                let (stop_reason, stop_sequence) = ending(Some(&end.reason), speaking.called(0));
                let delta = json!({ "stop_reason": stop_reason, "stop_sequence": stop_sequence });
                let last = json!({ "type": "message_delta", "delta": delta, "usage": usage_json(end.usage) });
                events.named("message_delta", &last).await?;
            }
        }
    }
    events.named("message_stop", &json!({ "type": "message_stop" })).await
}
