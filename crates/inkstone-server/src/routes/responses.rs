//! `POST /v1/responses`, the newer API of OpenAI's clients. Nothing is stored: each request says the whole conversation.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use inkstone_tokenizer::Turn;
use serde_json::{Map, Value, json};

use super::{Started, json_response, note_once, patiently, stream};
use crate::answering::{Ask, End, Finish, Usage, answer};
use crate::app::{App, object};
use crate::chat::{Conversation, Said, Speaking, content, whole};
use crate::constraint::Shape;
use crate::error::ApiError;
use crate::fields::Fields;
use crate::model::{Served, now};
use crate::sampling::sampling;
use crate::sse::{Events, Gone};
use crate::tools::{Call, Choice, Tools};

pub(crate) async fn responses(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let fields = object(&app.body(body).await?)?;
    let fields = Fields(&fields);
    let served = app.model(fields.text("model")?)?;
    fields.refuse(&[
        ("background", &[Value::Bool(false)]),
        ("conversation", &[]),
        ("include", &[json!([])]),
        ("max_tool_calls", &[]),
        ("previous_response_id", &[]),
        ("prompt", &[]),
        ("reasoning", &[]),
        ("store", &[Value::Bool(false)]),
        ("service_tier", &[json!("auto")]),
        ("top_logprobs", &[json!(0)]),
        ("truncation", &[json!("disabled")]),
    ])?;
    let tools = tools(&fields)?;
    let ask = ask(&fields, &app, served, &tools)?;
    let mut response = json!({
        "id": app.id("resp_"), "object": "response", "created_at": now(), "status": "in_progress", "model": served.name,
        "output": [], "error": null, "incomplete_details": null, "instructions": fields.get("instructions"),
        "metadata": fields.get("metadata").cloned().unwrap_or(json!({})), "parallel_tool_calls": tools.parallel,
        "temperature": ask.sampling.temperature, "top_p": ask.sampling.top_p, "store": false,
        "tools": fields.get("tools").cloned().unwrap_or(json!([])),
        "tool_choice": fields.get("tool_choice").cloned().unwrap_or(json!("auto")), "usage": null,
    });
    if fields.flag("stream")?.unwrap_or(false) {
        let model = served.name.clone();
        return stream(Arc::clone(&app), model, ask, move |app, model, ask, started| async move {
            // A reader that is gone is nothing to report.
            let _ = write(&app, &model, ask, (&tools, response), started).await;
        })
        .await;
    }
    let began = Instant::now();
    let (all, usage) = whole(Speaking::new(answer(served, ask).await?, 1, &tools), 1).await?;
    app.note_first(began);
    let one = all.into_iter().next().unwrap_or_default();
    let mut output = Vec::new();
    if !one.text.is_empty() || one.calls.is_empty() {
        output.push(message(&app.id("msg_"), &one.text, "completed"));
    }
    output.extend(one.calls.iter().map(|call| function_call(&app, call)));
    end(&mut response, output, one.finish.as_ref(), usage);
    Ok(json_response(response))
}

fn message(id: &str, text: &str, status: &str) -> Value {
    json!({ "type": "message", "id": id, "role": "assistant", "status": status, "content": [part(text)] })
}

fn part(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn function_call(app: &App, call: &Call) -> Value {
    json!({
        "type": "function_call", "id": app.id("fc_"), "call_id": app.id("call_"), "name": call.name,
        "arguments": call.arguments, "status": "completed",
    })
}

fn end(response: &mut Value, output: Vec<Value>, finish: Option<&Finish>, usage: Usage) {
    let short = finish == Some(&Finish::Length);
    response["status"] = if short { "incomplete" } else { "completed" }.into();
    if short {
        response["incomplete_details"] = json!({ "reason": "max_output_tokens" });
    }
    response["output"] = output.into();
    response["usage"] = json!({
        "input_tokens": usage.prompt, "input_tokens_details": { "cached_tokens": usage.cached },
        "output_tokens": usage.completion, "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": usage.prompt + usage.completion,
    });
}

fn tools(fields: &Fields<'_>) -> Result<Tools, ApiError> {
    let all = fields.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let function = |tool: &Value| match tool.get("type").and_then(Value::as_str) {
        Some("function") => {
            Ok(json!({ "name": tool["name"], "description": tool["description"], "parameters": tool["parameters"] }))
        }
        _ => Err(ApiError::field("tools", "`tools`: only those of type `function` are supported")),
    };
    let choice = match fields.get("tool_choice") {
        None => Choice::Auto,
        Some(value) => match (value.as_str(), value.get("name").and_then(Value::as_str)) {
            (Some("none"), _) => Choice::None,
            (Some("auto"), _) => Choice::Auto,
            (Some("required"), _) => Choice::Required,
            (None, Some(name)) => Choice::Named(name.to_owned()),
            _ => return Err(ApiError::field("tool_choice", "`tool_choice`: none, auto, required or a function")),
        },
    };
    let functions = all.iter().map(function).collect::<Result<_, _>>()?;
    Tools { functions, choice, parallel: fields.flag("parallel_tool_calls")?.unwrap_or(true) }.check()
}

fn ask(fields: &Fields<'_>, app: &App, served: &Served, tools: &Tools) -> Result<Ask, ApiError> {
    let mut turns = Vec::new();
    if let Some(instructions) = fields.text("instructions")? {
        turns.push(Turn { role: "system".into(), content: instructions.to_owned(), extra: Map::new() });
    }
    match fields.get("input") {
        Some(Value::String(text)) => {
            turns.push(Turn { role: "user".into(), content: text.clone(), extra: Map::new() });
        }
        Some(Value::Array(items)) => {
            for item in items {
                turns.push(turn(item)?);
            }
        }
        _ => return Err(ApiError::field("input", "`input`: expected a string or a list")),
    }
    let conversation = Conversation { turns, tools: tools.clone(), goes_on: false, variables: Map::new() };
    let prompt = conversation.prompt(served)?;
    let room = served.model.context().saturating_sub(prompt.len());
    let most = fields.count("max_output_tokens", (1, 1 << 24))?.unwrap_or(room);
    Ok(Ask {
        prompt,
        sampling: sampling(fields, served, most.min(room.max(1)))?,
        n: 1,
        stop: Vec::new(),
        logprobs: None,
        prompt_logprobs: None,
        shape: match tools.shape() {
            Some(call) => Some(call),
            None => shape(fields)?,
        },
        priority: 0,
        deadline: Some(app.deadline()),
    })
}

fn shape(fields: &Fields<'_>) -> Result<Option<Shape>, ApiError> {
    let Some(format) = fields.get("text").and_then(|text| text.get("format")) else { return Ok(None) };
    match (format.get("type").and_then(Value::as_str), format.get("schema")) {
        (Some("text"), _) => Ok(None),
        (Some("json_object"), _) => Ok(Some(Shape::Json(json!({ "type": "object" })))),
        (Some("json_schema"), Some(schema)) => Ok(Some(Shape::Json(schema.clone()))),
        _ => Err(ApiError::field("text", "`text.format`: `type` is text, json_object or json_schema with a `schema`")),
    }
}

/// An item of the input as the template sees it.
fn turn(item: &Value) -> Result<Turn, ApiError> {
    let turn = |role: &str, content: String, extra| Turn { role: role.to_owned(), content, extra };
    match item.get("type").and_then(Value::as_str) {
        Some("function_call") => {
            let text = item["arguments"].as_str().unwrap_or_default();
            let arguments: Value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
            let function = json!({ "name": item["name"], "arguments": arguments });
            let calls = json!([{ "id": item["call_id"], "type": "function", "function": function }]);
            Ok(turn("assistant", String::new(), Map::from_iter([("tool_calls".to_owned(), calls)])))
        }
        Some("function_call_output") => {
            let extra = Map::from_iter([("tool_call_id".to_owned(), item["call_id"].clone())]);
            Ok(turn("tool", content(item.get("output"), "input")?, extra))
        }
        None | Some("message") => match item.get("role").and_then(Value::as_str) {
            Some("developer") => Ok(turn("system", content(item.get("content"), "input")?, Map::new())),
            Some(role @ ("system" | "user" | "assistant")) => {
                Ok(turn(role, content(item.get("content"), "input")?, Map::new()))
            }
            _ => Err(ApiError::field("input", "`input`: `role` is system, developer, user or assistant")),
        },
        Some(_) => Err(ApiError::field("input", "`input`: items are messages, function calls and their outputs")),
    }
}

/// Numbers the events of a stream.
struct Numbered<'a> {
    events: &'a Events,
    next: u64,
}

impl Numbered<'_> {
    async fn send(&mut self, name: &str, mut value: Value) -> Result<(), Gone> {
        value["type"] = name.into();
        value["sequence_number"] = self.next.into();
        self.next += 1;
        self.events.named(name, &value).await
    }

    async fn open(&mut self, index: usize, id: &str) -> Result<(), Gone> {
        let mut item = message(id, "", "in_progress");
        item["content"] = json!([]);
        self.send("response.output_item.added", json!({ "output_index": index, "item": item })).await?;
        let added = json!({ "item_id": id, "output_index": index, "content_index": 0, "part": part("") });
        self.send("response.content_part.added", added).await
    }

    async fn close(&mut self, index: usize, id: &str, text: &str) -> Result<Value, Gone> {
        let place = json!({ "item_id": id, "output_index": index, "content_index": 0 });
        let mut done = place.clone();
        (done["text"], done["logprobs"]) = (text.into(), json!([]));
        self.send("response.output_text.done", done).await?;
        let mut done = place;
        done["part"] = part(text);
        self.send("response.content_part.done", done).await?;
        let item = message(id, text, "completed");
        self.send("response.output_item.done", json!({ "output_index": index, "item": item })).await?;
        Ok(item)
    }
}

async fn write(
    app: &App,
    model: &str,
    ask: Ask,
    (tools, mut response): (&Tools, Value),
    started: Started,
) -> Result<(), Gone> {
    let began = Instant::now();
    let Some((answers, events)) = started.begin(app, model, ask).await else { return Ok(()) };
    let mut speaking = Speaking::new(answers, 1, tools);
    let mut out = Numbered { events: &events, next: 0 };
    for name in ["response.created", "response.in_progress"] {
        out.send(name, json!({ "response": response })).await?;
    }
    let (mut output, mut open, mut first) = (Vec::new(), None::<(String, String)>, true);
    while let Some((_, said)) = patiently(&events, speaking.next()).await? {
        note_once(app, &mut first, began);
        match said {
            Said::Text(text, _) if text.is_empty() => {}
            Said::Text(text, _) => {
                if open.is_none() {
                    let id = app.id("msg_");
                    out.open(output.len(), &id).await?;
                    open = Some((id, String::new()));
                }
                let Some((id, said)) = &mut open else { continue };
                said.push_str(&text);
                let place = json!({
                    "item_id": id, "output_index": output.len(), "content_index": 0, "delta": text, "logprobs": [],
                });
                out.send("response.output_text.delta", place).await?;
            }
            Said::Call(call) => {
                if let Some((id, text)) = open.take() {
                    output.push(out.close(output.len(), &id, &text).await?);
                }
                let item = function_call(app, &call);
                let index = output.len();
                out.send("response.output_item.added", json!({ "output_index": index, "item": item })).await?;
                let done = json!({ "item_id": item["id"], "output_index": index, "arguments": call.arguments, "name": call.name });
                out.send("response.function_call_arguments.done", done).await?;
                out.send("response.output_item.done", json!({ "output_index": index, "item": item })).await?;
                output.push(item);
            }
            Said::End(End { reason: Finish::Failed(reason), .. }) => {
                response["status"] = "failed".into();
                response["error"] = json!({ "code": "server_error", "message": reason });
                return out.send("response.failed", json!({ "response": response })).await;
            }
            Said::End(ended) => {
                if let Some((id, text)) = open.take() {
                    output.push(out.close(output.len(), &id, &text).await?);
                }
                end(&mut response, std::mem::take(&mut output), Some(&ended.reason), ended.usage);
            }
        }
    }
    let name = if response["status"] == "incomplete" { "response.incomplete" } else { "response.completed" };
    out.send(name, json!({ "response": response })).await
}
