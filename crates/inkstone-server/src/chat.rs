//! A conversation on its way to an answer; the routes differ in how they write it down.

use std::collections::VecDeque;

use inkstone_engine::Scored;
use inkstone_tokenizer::{Prompt, Turn};
use serde_json::{Map, Value};

use crate::answering::{Answers, End, Finish, Piece, Usage};
use crate::error::ApiError;
use crate::model::Served;
use crate::tools::{Call, CallReader, Part, Tools};

/// What is to be answered.
#[derive(Debug, Clone)]
pub(crate) struct Conversation {
    pub(crate) turns: Vec<Turn>,
    pub(crate) tools: Tools,
    /// Whether the last message is to be gone on with.
    pub(crate) goes_on: bool,
    /// Further variables of the template.
    pub(crate) variables: Map<String, Value>,
}

impl Conversation {
    /// The ids that the model goes on from.
    pub(crate) fn prompt(mut self, served: &Served) -> Result<Vec<u32>, ApiError> {
        if self.turns.is_empty() {
            return Err(ApiError::field("messages", "`messages` is empty"));
        }
        let Some(template) = served.tokenizer.chat_template() else {
            let message = format!("`{}` has no chat template; `/v1/completions` goes on from a text", served.name);
            return Err(ApiError::field("messages", message));
        };
        let mut variables = self.tools.tell(&mut self.turns, template);
        variables.extend(self.variables);
        Ok(served.tokenizer.encode_prompt(&Prompt { turns: self.turns, variables, goes_on: self.goes_on })?)
    }
}

/// The text of a message's content: a string, or a list of parts that are all text.
pub(crate) fn content(value: Option<&Value>, param: &str) -> Result<String, ApiError> {
    let wrong = || ApiError::field(param, format!("`{param}`: expected a string or a list of parts with text"));
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => parts.iter().map(|part| text_part(part).ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

/// The text of a part; pictures and sounds are none.
fn text_part(part: &Value) -> Option<String> {
    let kind = part.get("type").and_then(Value::as_str)?;
    matches!(kind, "text" | "input_text" | "output_text").then(|| part.get("text")?.as_str().map(str::to_owned))?
}

/// Something that one of the answers said.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Text(String, Vec<Scored>),
    Call(Call),
    End(End),
}

/// Answers with the calls read out of their texts.
pub(crate) struct Speaking<'a> {
    answers: Answers<'a>,
    readers: Vec<CallReader>,
    calls: Vec<usize>,
    parallel: bool,
    ready: VecDeque<(usize, Said)>,
}

impl<'a> Speaking<'a> {
    pub(crate) fn new(answers: Answers<'a>, n: usize, tools: &Tools) -> Self {
        let readers = (0..n.max(1)).map(|_| CallReader::new(tools)).collect();
        Self { answers, readers, calls: vec![0; n.max(1)], parallel: tools.parallel, ready: VecDeque::new() }
    }

    /// What comes next of any of the answers; nothing when all have ended.
    pub(crate) async fn next(&mut self) -> Option<(usize, Said)> {
        loop {
            if let Some(said) = self.ready.pop_front() {
                return Some(said);
            }
            match self.answers.next().await? {
                (_, Piece::Prompt(_)) => {}
                (index, Piece::Text(text, tokens)) => {
                    let parts = self.readers[index].push(&text);
                    self.take(index, parts, tokens);
                }
                (index, Piece::End(end)) => {
                    let rest = self.readers[index].finish();
                    self.take(index, rest.into_iter().collect(), Vec::new());
                    self.ready.push_back((index, Said::End(end)));
                }
            }
        }
    }

    fn take(&mut self, index: usize, parts: Vec<Part>, tokens: Vec<Scored>) {
        let mut tokens = Some(tokens);
        for part in parts {
            match part {
                Part::Text(text) => {
                    let said = Said::Text(text, tokens.take().unwrap_or_default());
                    self.ready.push_back((index, said));
                }
                Part::Call(call) if self.parallel || self.calls[index] == 0 => {
                    self.calls[index] += 1;
                    self.ready.push_back((index, Said::Call(call)));
                }
                Part::Call(_) => {}
            }
        }
        if let Some(tokens) = tokens.filter(|tokens| !tokens.is_empty()) {
            self.ready.push_back((index, Said::Text(String::new(), tokens)));
        }
    }

    /// Whether an answer called a function.
    pub(crate) fn called(&self, index: usize) -> bool {
        self.calls[index] > 0
    }
}

/// A whole answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) tokens: Vec<Scored>,
    pub(crate) calls: Vec<Call>,
    pub(crate) finish: Option<Finish>,
}

/// Waits for all answers.
///
/// # Errors
/// If one of them failed.
pub(crate) async fn whole(mut speaking: Speaking<'_>, n: usize) -> Result<(Vec<Whole>, Usage), ApiError> {
    let (mut all, mut usage) = (vec![Whole::default(); n.max(1)], Usage::default());
    while let Some((index, said)) = speaking.next().await {
        let whole = &mut all[index];
        match said {
            Said::Text(text, tokens) => {
                whole.text.push_str(&text);
                whole.tokens.extend(tokens);
            }
            Said::Call(call) => whole.calls.push(call),
            Said::End(End { reason: Finish::Failed(reason), .. }) => return Err(ApiError::internal(reason)),
            Said::End(end) => {
                usage.add(end.usage);
                whole.finish = Some(end.reason);
            }
        }
    }
    Ok((all, usage))
}
