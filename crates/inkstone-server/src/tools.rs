//! Functions that a model may call: how they are told to it, and how its calls are read out of its text.
//!
//! The format is that of most open models: `<tool_call>{"name": …, "arguments": {…}}</tool_call>`. Where the chat template knows
//! `tools`, it tells them itself; where it does not, they are told in the system message.

use std::fmt::Write as _;

use inkstone_tokenizer::Turn;
use serde_json::{Map, Value, json};

use crate::constraint::{Shape, plainly_spaced};
use crate::error::ApiError;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
/// A call is not longer than this.
const LONGEST: usize = 1 << 20;

/// Whether the model is to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Not at all.
    None,
    /// As it likes.
    Auto,
    /// Any of the functions.
    Required,
    /// This one.
    Named(String),
}

/// The functions of a request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tools {
    /// `{name, description, parameters}` each.
    pub(crate) functions: Vec<Value>,
    pub(crate) choice: Choice,
    /// Whether one answer may have several calls.
    pub(crate) parallel: bool,
}

/// A call that the model made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// JSON.
    pub(crate) arguments: String,
}

impl Tools {
    /// No functions.
    pub(crate) fn none() -> Self {
        Self { functions: Vec::new(), choice: Choice::None, parallel: true }
    }

    /// Checks that the functions have names, and that the one to be called is among them.
    pub(crate) fn check(self) -> Result<Self, ApiError> {
        let named =
            |function: &Value| function.get("name").is_some_and(|name| name.as_str().is_some_and(|n| !n.is_empty()));
        if !self.functions.iter().all(named) {
            return Err(ApiError::field("tools", "`tools`: every function needs a `name`"));
        }
        match &self.choice {
            Choice::Named(name) if !self.functions.iter().any(|function| function["name"] == **name) => {
                Err(ApiError::field("tool_choice", format!("`tool_choice`: there is no function `{name}`")))
            }
            Choice::Required if self.functions.is_empty() => {
                Err(ApiError::field("tool_choice", "`tool_choice`: there are no `tools`"))
            }
            _ => Ok(self),
        }
    }

    /// Whether the answer may hold calls.
    pub(crate) fn any(&self) -> bool {
        !self.functions.is_empty() && self.choice != Choice::None
    }

    /// The functions that may be called.
    fn wanted(&self) -> impl Iterator<Item = &Value> {
        self.functions.iter().filter(|function| match &self.choice {
            Choice::Named(name) => function["name"] == **name,
            _ => true,
        })
    }

    /// The shape of an answer that must be a call.
    pub(crate) fn shape(&self) -> Option<Shape> {
        if !matches!(self.choice, Choice::Required | Choice::Named(_)) {
            return None;
        }
        let schema = |function: &Value| {
            let parameters = function.get("parameters").filter(|p| p.is_object()).cloned();
            json!({
                "type": "object", "additionalProperties": false, "required": ["name", "arguments"],
                "properties": {
                    "name": { "const": function["name"] }, "arguments": parameters.unwrap_or(json!({ "type": "object" })),
                },
            })
        };
        let any: Vec<Value> = self.wanted().map(schema).collect();
        let any = plainly_spaced(json!({ "anyOf": any }));
        Some(Shape::Lark(format!("start: \"{OPEN}\\n\" call \"\\n{CLOSE}\"\ncall: %json {any}\n")))
    }

    /// Tells the functions to the model; what is returned is given to the template.
    pub(crate) fn tell(&self, turns: &mut Vec<Turn>, template: &str) -> Map<String, Value> {
        let mut variables = Map::new();
        let template_knows = template.contains("tools");
        if template_knows && self.any() {
            let all = self.functions.iter().map(|function| json!({ "type": "function", "function": function }));
            variables.insert("tools".into(), all.collect());
        }
        if !template_knows {
            turns.iter_mut().for_each(write_calls);
            if self.any() {
                self.tell_in_system(turns);
            }
        }
        variables
    }

    fn tell_in_system(&self, turns: &mut Vec<Turn>) {
        let list: Vec<String> = self.wanted().map(Value::to_string).collect();
        let list = list.join("\n");
        let told = match self.choice {
            // The answer can be nothing but a call, so nothing has to be said about how to write one.
            Choice::Required | Choice::Named(_) => format!("<tools>\n{list}\n</tools>"),
            _ => format!(
                "These functions can be called:\n<tools>\n{list}\n</tools>\nTo call one, write {OPEN}\n{{\"name\": \"…\", \"arguments\": {{…}}}}\n{CLOSE}"
            ),
        };
        match turns.first_mut().filter(|turn| turn.role == "system") {
            Some(system) => system.content = format!("{}\n\n{told}", system.content),
            None => turns.insert(0, Turn { role: "system".into(), content: told, extra: Map::new() }),
        }
    }
}

/// Writes the calls of a message into its text, for a template that does not know them.
fn write_calls(turn: &mut Turn) {
    let Some(Value::Array(calls)) = turn.extra.remove("tool_calls") else { return };
    for call in calls {
        let separator = if turn.content.is_empty() { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = write!(turn.content, "{separator}{OPEN}\n{}\n{CLOSE}", call["function"]);
    }
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    Call(Call),
}

/// Reads calls out of a text as it comes.
#[derive(Debug, Default)]
pub(crate) struct CallReader {
    /// Text that may be the beginning of a mark, or the inside of a call.
    held: String,
    inside: bool,
    /// Without functions everything is text.
    active: bool,
}

impl CallReader {
    pub(crate) fn new(tools: &Tools) -> Self {
        Self { active: tools.any(), ..Self::default() }
    }

    /// The parts that are complete with this piece.
    pub(crate) fn push(&mut self, piece: &str) -> Vec<Part> {
        if !self.active {
            return if piece.is_empty() { Vec::new() } else { vec![Part::Text(piece.to_owned())] };
        }
        self.held.push_str(piece);
        let mut parts = Vec::new();
        while let Some(at) = self.held.find(if self.inside { CLOSE } else { OPEN }) {
            let rest = self.held.split_off(at + if self.inside { CLOSE.len() } else { OPEN.len() });
            self.held.truncate(at);
            let before = std::mem::replace(&mut self.held, rest);
            parts.extend(if self.inside { Some(read(&before, CLOSE)) } else { text(before) });
            self.inside = !self.inside;
        }
        if !self.inside {
            let begins = |n: &usize| self.held.ends_with(&OPEN[..*n]);
            let kept = (1..OPEN.len()).rev().find(begins).unwrap_or(0);
            let rest = self.held.split_off(self.held.len() - kept);
            parts.extend(text(std::mem::replace(&mut self.held, rest)));
        } else if self.held.len() > LONGEST {
            parts.extend(text(std::mem::take(&mut self.held)));
            self.inside = false;
        }
        parts
    }

    /// What was held back, when nothing follows; a call that was never closed is read all the same.
    pub(crate) fn finish(&mut self) -> Option<Part> {
        let held = std::mem::take(&mut self.held);
        if self.inside { Some(read(&held, "")) } else { text(held) }
    }
}

fn text(text: String) -> Option<Part> {
    // What stands between calls is there for the eye.
    (!text.trim().is_empty() || text == " ").then_some(Part::Text(text))
}

/// A call, or the text that was to be one, with what it ended in.
fn read(inside: &str, end: &str) -> Part {
    let value: Option<Value> = serde_json::from_str(inside.trim()).ok();
    let call = value.and_then(|value| {
        let arguments = value.get("arguments").or_else(|| value.get("parameters"))?;
        let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
        Some(Call { name: value.get("name")?.as_str()?.to_owned(), arguments })
    });
    call.map_or_else(|| Part::Text(format!("{OPEN}{inside}{end}")), Part::Call)
}

#[cfg(test)]
mod tests {
    use super::{Call, CallReader, Choice, Part, Tools};
    use serde_json::json;

    fn tools() -> Tools {
        Tools { functions: vec![json!({ "name": "f" })], choice: Choice::Auto, parallel: true }
    }

    fn read(text: &str, size: usize) -> Vec<Part> {
        let mut reader = CallReader::new(&tools());
        let characters: Vec<char> = text.chars().collect();
        let mut parts: Vec<Part> =
            characters.chunks(size).flat_map(|piece| reader.push(&piece.iter().collect::<String>())).collect();
        parts.extend(reader.finish());
        let mut joined: Vec<Part> = Vec::new();
        for part in parts {
            match (joined.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
                (_, part) => joined.push(part),
            }
        }
        joined
    }

    #[test]
    fn calls_are_read_however_the_text_is_cut() {
        let text = "Let me see < 3. <tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"砚\"}}\n</tool_call>";
        let call = Part::Call(Call { name: "f".into(), arguments: "{\"x\":\"砚\"}".into() });
        for size in [1, 3, 7, 1000] {
            assert_eq!(read(text, size), [Part::Text("Let me see < 3. ".into()), call.clone()]);
        }
        assert_eq!(read("<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"砚\"}}", 4), [call]);
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for text in ["<tool_call>not json</tool_call>", "<tool_call>{\"name\":", "<tool", "a <tool_calls> b"] {
            assert_eq!(read(text, 2), [Part::Text(text.into())]);
        }
    }
}
