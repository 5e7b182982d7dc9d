//! Alpaca, `ShareGPT`, `OpenAI` messages and prompt-completion records, told apart by their keys.

use serde_json::{Map, Value};

use super::{Message, Role};
use crate::pipeline::Body;
use crate::text::{keys_of, kind_of};

/// Why a record is not a conversation to learn from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRecord {
    /// The keys are those of no known form.
    #[error(
        "no known form of chat data ({keys}); expected `messages`, `conversations`, `instruction` and `output`, `prompt` and `completion`, or `question` and `answer`"
    )]
    UnknownForm {
        /// The keys of the record.
        keys: String,
    },
    /// A value is of the wrong type.
    #[error("`{key}` is not {expected} but {got}")]
    Type {
        /// The key.
        key: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        got: &'static str,
    },
    /// A role that nobody knows.
    #[error("turn {turn}: unknown role `{role}`")]
    Role {
        /// The turn, from 1.
        turn: usize,
        /// The role.
        role: String,
    },
    /// A turn in which nothing is said.
    #[error("turn {turn}: the {role:?} says nothing")]
    Empty {
        /// The turn, from 1.
        turn: usize,
        /// Who says nothing.
        role: Role,
    },
    /// A turn that can't follow the one before it.
    #[error("turn {turn}: {role:?} can't speak {after}")]
    Order {
        /// The turn, from 1.
        turn: usize,
        /// Who speaks out of order.
        role: Role,
        /// After whom, in words.
        after: String,
    },
    /// There is nothing to learn.
    #[error("no turn of the assistant")]
    NoAssistant,
}

/// The messages of a record of chat data, whichever of the known forms it has.
///
/// Turns behind the assistant's last one are left out: nothing answers them. A turn of the
/// assistant that calls tools without a word has the calls, as JSON, for content.
///
/// # Errors
/// If the keys are of no known form, or the conversation is not one to learn from.
pub fn parse_record(value: &Value) -> Result<Vec<Message>, BadRecord> {
    let object = value.as_object().ok_or_else(|| wrong("record", "an object", value))?;
    let mut messages = messages_of(object)?;
    add_rationale(object, &mut messages)?;
    let last = messages.iter().rposition(|message| message.role == Role::Assistant);
    messages.truncate(last.ok_or(BadRecord::NoAssistant)? + 1);
    check(&messages)?;
    Ok(messages)
}

/// What a conversation's `meta` calls the bytes of its last answer that are the way to the result.
pub const RATIONALE: &str = "rationale_bytes";

/// What stands between the way and the result in `GSM8K`'s answers.
const RESULT: &str = "\n#### ";

/// Puts a `rationale` before the last answer.
fn add_rationale(object: &Map<String, Value>, messages: &mut [Message]) -> Result<(), BadRecord> {
    let Some(value) = object.get("rationale").filter(|value| !value.is_null()) else { return Ok(()) };
    let rationale = text(value, "rationale")?;
    if let Some(last) = messages.last_mut().filter(|last| last.role == Role::Assistant && !rationale.trim().is_empty())
    {
        last.content = format!("{}\n{}", rationale.trim(), last.content);
    }
    Ok(())
}

/// How many bytes of the last answer are the way to its result (chain of thought, arXiv:2201.11903): a `rationale`, or what stands before
/// `GSM8K`'s mark.
pub(crate) fn rationale_bytes(record: &Value, body: &Body) -> Option<usize> {
    let Body::Messages(messages) = body else { return None };
    let answer = &messages.last()?.content;
    let given = record.get("rationale").and_then(Value::as_str).map(|rationale| rationale.trim().len() + 1);
    given.filter(|&bytes| bytes > 1 && bytes < answer.len()).or_else(|| answer.rfind(RESULT).map(|at| at + 1))
}

fn messages_of(object: &Map<String, Value>) -> Result<Vec<Message>, BadRecord> {
    let has = |key: &str| object.get(key).is_some_and(|value| !value.is_null());
    for key in ["messages", "conversations", "conversation"] {
        if has(key) {
            return conversation(object, key);
        }
    }
    let pairs = [
        ("prompt", "completion"),
        ("prompt", "response"),
        ("question", "answer"),
        ("instruction", "code"),
        ("prompt", "code"),
        ("prompt", "canonical_solution"),
    ];
    if has("instruction") && (has("output") || has("response")) {
        return alpaca(object);
    }
    match pairs.iter().find(|(prompt, completion)| has(prompt) && has(completion)) {
        Some((prompt, completion)) => pair(object, prompt, completion),
        None => Err(BadRecord::UnknownForm { keys: keys_of(object) }),
    }
}

/// `ShareGPT` (`from`, `value`) and `OpenAI` (`role`, `content`), the system message in the list or
/// beside it.
fn conversation(object: &Map<String, Value>, key: &str) -> Result<Vec<Message>, BadRecord> {
    let mut messages = Vec::new();
    add_system(object, &mut messages)?;
    add_turns(&object[key], key, &mut messages)?;
    Ok(messages)
}

fn alpaca(object: &Map<String, Value>) -> Result<Vec<Message>, BadRecord> {
    let mut messages = Vec::new();
    add_system(object, &mut messages)?;
    for round in object.get("history").and_then(Value::as_array).into_iter().flatten() {
        let said = round
            .as_array()
            .filter(|said| said.len() == 2)
            .ok_or_else(|| wrong("history", "a list of pairs", round))?;
        messages.push(Message { role: Role::User, content: text(&said[0], "history")? });
        messages.push(Message { role: Role::Assistant, content: text(&said[1], "history")? });
    }
    let instruction = text(&object["instruction"], "instruction")?;
    let input = object.get("input").filter(|v| !v.is_null()).map_or(Ok(String::new()), |v| text(v, "input"))?;
    let asked = if input.trim().is_empty() { instruction } else { format!("{instruction}\n{input}") };
    let output = if object.contains_key("output") { "output" } else { "response" };
    messages.push(Message { role: Role::User, content: asked });
    messages.push(Message { role: Role::Assistant, content: text(&object[output], output)? });
    Ok(messages)
}

/// Each side is a text or a list of messages.
fn pair(object: &Map<String, Value>, prompt: &str, completion: &str) -> Result<Vec<Message>, BadRecord> {
    let mut messages = Vec::new();
    add_system(object, &mut messages)?;
    for (key, role) in [(prompt, Role::User), (completion, Role::Assistant)] {
        match &object[key] {
            turns @ Value::Array(_) => add_turns(turns, key, &mut messages)?,
            value => messages.push(Message { role, content: text(value, key)? }),
        }
    }
    Ok(messages)
}

fn add_system(object: &Map<String, Value>, messages: &mut Vec<Message>) -> Result<(), BadRecord> {
    let Some(value) = object.get("system").filter(|value| !value.is_null()) else {
        return Ok(());
    };
    let content = text(value, "system")?;
    if !content.trim().is_empty() {
        messages.push(Message { role: Role::System, content });
    }
    Ok(())
}

pub(crate) fn add_turns(value: &Value, key: &str, messages: &mut Vec<Message>) -> Result<(), BadRecord> {
    let turns = value.as_array().ok_or_else(|| wrong(key, "a list of turns", value))?;
    for (turn, value) in (1..).zip(turns) {
        let message = message(turn, value)?;
        // An empty system message is a form filled in by habit.
        if message.role != Role::System || !message.content.trim().is_empty() {
            messages.push(message);
        }
    }
    Ok(())
}

fn message(turn: usize, value: &Value) -> Result<Message, BadRecord> {
    let object = value.as_object().ok_or_else(|| wrong("turn", "an object", value))?;
    let named = |a: &str, b: &str| object.get(a).or_else(|| object.get(b)).unwrap_or(&Value::Null);
    let role = named("role", "from");
    let name = role.as_str().ok_or_else(|| wrong("role", "a string", role))?;
    let role = role_of(name).ok_or_else(|| BadRecord::Role { turn, role: name.to_owned() })?;
    let content = named("content", "value");
    let calls = object.get("tool_calls").filter(|calls| calls.as_array().is_some_and(|calls| !calls.is_empty()));
    let silent = content.is_null() || content.as_str().is_some_and(str::is_empty);
    let content = match calls {
        Some(calls) if silent => calls.to_string(),
        _ => text(content, "content")?,
    };
    Ok(Message { role, content })
}

fn role_of(name: &str) -> Option<Role> {
    match name {
        "system" | "developer" => Some(Role::System),
        "user" | "human" => Some(Role::User),
        "assistant" | "gpt" | "model" | "bot" | "chatgpt" | "function_call" => Some(Role::Assistant),
        "tool" | "observation" | "function" | "function_response" => Some(Role::Tool),
        _ => None,
    }
}

/// A string, or the texts of a list of content parts.
pub(crate) fn text(value: &Value, key: &str) -> Result<String, BadRecord> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => {
            let part = |part: &Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
            parts.iter().map(part).collect::<Option<String>>().ok_or_else(|| wrong(key, "a text", value))
        }
        other => Err(wrong(key, "a string", other)),
    }
}

fn wrong(key: &str, expected: &'static str, value: &Value) -> BadRecord {
    BadRecord::Type { key: key.to_owned(), expected, got: kind_of(value) }
}

/// A system message only at the beginning, then user and assistant in turns, tools behind the
/// assistant.
pub(crate) fn check(messages: &[Message]) -> Result<(), BadRecord> {
    let mut before = None;
    for (turn, message) in (1..).zip(messages) {
        let role = message.role;
        if message.content.trim().is_empty() {
            return Err(BadRecord::Empty { turn, role });
        }
        if !may_follow(before, role) {
            let after = before.map_or("first".to_owned(), |before: Role| format!("after {before:?}"));
            return Err(BadRecord::Order { turn, role, after });
        }
        before = Some(role);
    }
    Ok(())
}

fn may_follow(before: Option<Role>, role: Role) -> bool {
    match role {
        Role::System => before.is_none(),
        Role::User => matches!(before, None | Some(Role::System | Role::Assistant)),
        Role::Assistant => matches!(before, Some(Role::User | Role::Tool)),
        Role::Tool => matches!(before, Some(Role::Assistant | Role::Tool)),
    }
}
