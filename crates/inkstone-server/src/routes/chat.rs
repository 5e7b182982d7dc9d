//! `POST /v1/chat/completions`.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use inkstone_engine::Scored;
use inkstone_tokenizer::{Tokenizer, Turn};
use serde_json::{Map, Value, json};

use super::{Started, finite, json_response, note_once, patiently, stream, token_json};
use crate::answering::{Ask, End, Finish, Usage, answer};
use crate::app::{App, object};
use crate::chat::{Conversation, Said, Speaking, Whole, content, whole};
use crate::error::ApiError;
use crate::fields::Fields;
use crate::model::{Served, now};
use crate::sampling::{sampling, shape};
use crate::sse::Gone;
use crate::tools::{Call, Choice, Tools};

/// Answers to one request.
pub(crate) const MOST_ANSWERS: u64 = 16;
/// Alternatives to a token.
const MOST_ALTERNATIVES: u64 = 20;

/// Fields of the API that are refused, each with what it may say all the same.
fn unsupported() -> [(&'static str, &'static [Value]); 13] {
    const NOTHING: &[Value] = &[];
    const NO: &[Value] = &[Value::Bool(false)];
    [
        ("audio", NOTHING),
        ("functions", NOTHING),
        ("function_call", NOTHING),
        ("modalities", NOTHING),
        ("prediction", NOTHING),
        ("reasoning_effort", NOTHING),
        ("verbosity", NOTHING),
        ("service_tier", NOTHING),
        ("store", NO),
        ("web_search_options", NOTHING),
        ("prompt_logprobs", NOTHING),
        ("use_beam_search", NO),
        ("best_of", NOTHING),
    ]
}

/// A request that was understood.
struct Asked {
    model: String,
    conversation: Conversation,
    stream: bool,
    include_usage: bool,
}

pub(crate) async fn chat(State(app): State<Arc<App>>, body: Body) -> Result<Response, ApiError> {
    let fields = object(&app.body(body).await?)?;
    let fields = Fields(&fields);
    let served = app.model(fields.text("model")?)?;
    let asked = read(&fields, served)?;
    let ask = ask(&fields, &app, served, &asked.conversation)?;
    let tools = asked.conversation.tools.clone();
    if asked.stream {
        let usage = asked.include_usage;
        return stream(Arc::clone(&app), asked.model, ask, move |app, model, ask, started| async move {
            // A reader that is gone is nothing to report.
            let _ = write(&app, &model, ask, (&tools, usage), started).await;
        })
        .await;
    }
    let (n, began) = (ask.n, Instant::now());
    let speaking = Speaking::new(answer(served, ask).await?, n, &tools);
    let (all, usage) = whole(speaking, n).await?;
    app.note_first(began);
    let choices: Vec<Value> =
        all.iter().enumerate().map(|(index, whole)| choice(&app, &served.tokenizer, index, whole)).collect();
    Ok(json_response(json!({
        "id": app.id("chatcmpl-"), "object": "chat.completion", "created": now(), "model": asked.model,
        "choices": choices, "usage": usage.json(), "system_fingerprint": fingerprint(),
    })))
}

/// What computed the answer.
pub(crate) fn fingerprint() -> String {
    format!("inkstone-{}", env!("CARGO_PKG_VERSION"))
}

fn read(fields: &Fields<'_>, served: &Served) -> Result<Asked, ApiError> {
    fields.refuse(&unsupported())?;
    let messages = fields.get("messages").and_then(Value::as_array);
    let messages = messages.ok_or_else(|| ApiError::field("messages", "`messages`: expected a list"))?;
    let turns = messages.iter().map(turn).collect::<Result<_, _>>()?;
    let variables = match fields.get("chat_template_kwargs") {
        None => Map::new(),
        Some(Value::Object(map)) => map.clone(),
        Some(_) => return Err(ApiError::field("chat_template_kwargs", "`chat_template_kwargs`: expected an object")),
    };
    let goes_on = fields.flag("continue_final_message")?.unwrap_or(false);
    let options = fields.get("stream_options").and_then(Value::as_object);
    Ok(Asked {
        model: served.name.clone(),
        conversation: Conversation { turns, tools: tools(fields)?, goes_on, variables },
        stream: fields.flag("stream")?.unwrap_or(false),
        include_usage: options.is_some_and(|options| options.get("include_usage") == Some(&Value::Bool(true))),
    })
}

/// A message as the template sees it.
fn turn(message: &Value) -> Result<Turn, ApiError> {
    let role = match message.get("role").and_then(Value::as_str) {
        Some("developer") => "system",
        Some(role @ ("system" | "user" | "assistant" | "tool")) => role,
        _ => {
            return Err(ApiError::field(
                "messages",
                "`messages`: `role` is system, developer, user, assistant or tool",
            ));
        }
    };
    let mut extra = Map::new();
    for name in ["name", "tool_call_id"] {
        extra.extend(message.get(name).filter(|value| value.is_string()).map(|value| (name.to_owned(), value.clone())));
    }
    if let Some(calls) = message.get("tool_calls").and_then(Value::as_array).filter(|calls| !calls.is_empty()) {
        extra.insert("tool_calls".into(), calls.iter().map(with_arguments).collect());
    }
    Ok(Turn { role: role.to_owned(), content: content(message.get("content"), "messages")?, extra })
}

/// Templates want the arguments of a call as an object; on the wire they are a string.
fn with_arguments(call: &Value) -> Value {
    let mut call = call.clone();
    if let Some(arguments) = call.pointer_mut("/function/arguments") {
        let parsed = arguments.as_str().and_then(|text| serde_json::from_str(text).ok());
        if let Some(parsed) = parsed {
            *arguments = parsed;
        }
    }
    call
}

fn tools(fields: &Fields<'_>) -> Result<Tools, ApiError> {
    let Some(all) = fields.get("tools") else { return Ok(Tools::none()) };
    let wrong =
        || ApiError::field("tools", "`tools`: expected a list of `{\"type\": \"function\", \"function\": {…}}`");
    let function = |tool: &Value| match tool.get("type").and_then(Value::as_str) {
        Some("function") => tool.get("function").cloned().ok_or_else(wrong),
        _ => Err(wrong()),
    };
    let functions = all.as_array().ok_or_else(wrong)?.iter().map(function).collect::<Result<Vec<_>, _>>()?;
    let wrong = || ApiError::field("tool_choice", "`tool_choice`: none, auto, required or a function");
    let choice = match fields.get("tool_choice") {
        None => Choice::Auto,
        Some(Value::String(word)) => match word.as_str() {
            "none" => Choice::None,
            "auto" => Choice::Auto,
            "required" => Choice::Required,
            _ => return Err(wrong()),
        },
        Some(one) => Choice::Named(one.pointer("/function/name").and_then(Value::as_str).ok_or_else(wrong)?.to_owned()),
    };
    Tools { functions, choice, parallel: fields.flag("parallel_tool_calls")?.unwrap_or(true) }.check()
}

fn ask(fields: &Fields<'_>, app: &App, served: &Served, conversation: &Conversation) -> Result<Ask, ApiError> {
    let wanted = match fields.count("max_completion_tokens", (1, 1 << 24))? {
        Some(tokens) => Some(tokens),
        None => fields.count("max_tokens", (1, 1 << 24))?,
    };
    let prompt = conversation.clone().prompt(served)?;
    let room = served.model.context().saturating_sub(prompt.len());
    let alternatives = fields.count("top_logprobs", (0, MOST_ALTERNATIVES))?;
    let logprobs = fields.flag("logprobs")?.unwrap_or(false);
    if alternatives.is_some_and(|n| n > 0) && !logprobs {
        return Err(ApiError::field("top_logprobs", "`top_logprobs` wants `logprobs`: true"));
    }
    let shape = match conversation.tools.shape() {
        Some(call) => Some(call),
        None => shape(fields)?,
    };
    Ok(Ask {
        prompt,
        sampling: sampling(fields, served, wanted.unwrap_or(room).min(room.max(1)))?,
        n: fields.count("n", (1, MOST_ANSWERS))?.unwrap_or(1),
        stop: fields.texts("stop", 16)?,
        logprobs: logprobs.then(|| alternatives.unwrap_or(0)),
        prompt_logprobs: None,
        shape,
        priority: 0,
        deadline: Some(app.deadline()),
    })
}

/// The word for how an answer ended.
pub(crate) fn word(finish: Option<&Finish>, called: bool) -> &'static str {
    match finish {
        _ if called => "tool_calls",
        Some(Finish::Length) => "length",
        _ => "stop",
    }
}

fn choice(app: &App, tokenizer: &Tokenizer, index: usize, whole: &Whole) -> Value {
    let mut message = json!({ "role": "assistant", "content": whole.text, "refusal": null });
    if !whole.calls.is_empty() {
        let calls = whole.calls.iter().map(|call| call_json(app, call, None));
        message["tool_calls"] = calls.collect();
        if whole.text.trim().is_empty() {
            message["content"] = Value::Null;
        }
    }
    let finish_reason = word(whole.finish.as_ref(), !whole.calls.is_empty());
    json!({
        "index": index, "message": message, "logprobs": logprobs(tokenizer, &whole.tokens), "finish_reason": finish_reason,
    })
}

fn call_json(app: &App, call: &Call, index: Option<usize>) -> Value {
    let mut json = json!({
        "id": app.id("call_"), "type": "function", "function": { "name": call.name, "arguments": call.arguments },
    });
    if let Some(index) = index {
        json["index"] = index.into();
    }
    json
}

/// The log-probabilities of tokens, where they were asked for.
fn logprobs(tokenizer: &Tokenizer, tokens: &[Scored]) -> Value {
    let with = |token: &Scored| {
        let mut json = token_json(tokenizer, token.id, token.logprob?);
        let top = token.top.iter().map(|&(id, logprob)| token_json(tokenizer, id, finite(logprob)));
        json["top_logprobs"] = top.collect();
        Some(json)
    };
    let content: Vec<Value> = tokens.iter().filter_map(with).collect();
    if content.is_empty() { Value::Null } else { json!({ "content": content, "refusal": null }) }
}

/// Writes the answers as they come.
async fn write(
    app: &App,
    model: &str,
    ask: Ask,
    (tools, include_usage): (&Tools, bool),
    started: Started,
) -> Result<(), Gone> {
    let (n, id, created, began) = (ask.n, app.id("chatcmpl-"), now(), Instant::now());
    let Some((answers, events)) = started.begin(app, model, ask).await else { return Ok(()) };
    let tokenizer = &app.model(Some(model)).map_err(|_| Gone)?.tokenizer;
    let chunk = |choices: Value| {
        json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": model, "choices": choices,
            "system_fingerprint": fingerprint(),
        })
    };
    let delta = |index: usize, delta: Value, logprobs: Value, finish: Value| {
        chunk(json!([{ "index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish }]))
    };
    let mut speaking = Speaking::new(answers, n, tools);
    let (mut calls, mut usage, mut first) = (vec![0; n], Usage::default(), true);
    for index in 0..n {
        let opening = json!({ "role": "assistant", "content": "" });
        events.data(&delta(index, opening, Value::Null, Value::Null)).await?;
    }
    while let Some((index, said)) = patiently(&events, speaking.next()).await? {
        note_once(app, &mut first, began);
        match said {
            Said::Text(text, tokens) => {
                let scores = logprobs(tokenizer, &tokens);
                if !text.is_empty() || !scores.is_null() {
                    events.data(&delta(index, json!({ "content": text }), scores, Value::Null)).await?;
                }
            }
            Said::Call(call) => {
                let call = call_json(app, &call, Some(calls[index]));
                calls[index] += 1;
                events.data(&delta(index, json!({ "tool_calls": [call] }), Value::Null, Value::Null)).await?;
            }
            Said::End(End { reason: Finish::Failed(reason), .. }) => {
                events.data(&ApiError::internal(reason).json()).await?;
            }
            Said::End(end) => {
                usage.add(end.usage);
                let finish = word(Some(&end.reason), speaking.called(index)).into();
                events.data(&delta(index, json!({}), Value::Null, finish)).await?;
            }
        }
    }
    if include_usage {
        let mut last = chunk(json!([]));
        last["usage"] = usage.json();
        events.data(&last).await?;
    }
    events.done().await
}
