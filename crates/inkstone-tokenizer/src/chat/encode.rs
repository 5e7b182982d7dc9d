//! Rendering, encoding and the mask of what is learnt.

use std::ops::Range;

use inkstone_corpus::chat::{Message, Role};
use serde_json::{Map, Value};

use super::date::Clock;
use super::guard::Guard;
use super::rendered::Rendered;
use super::template::{ChatTemplate, Turn};
use crate::error::{Result, TokenizerError};
use crate::specials::Special;
use crate::tokenizer::Tokenizer;

/// Something that no template says by itself.
const PROBE: &str = "砚池墨色";

/// A conversation with everything that a template may be given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prompt {
    /// The messages.
    pub turns: Vec<Turn>,
    /// Variables beside them, such as `tools`.
    pub variables: Map<String, Value>,
    /// Whether the last message is to be gone on with, instead of answered.
    pub goes_on: bool,
}

/// All texts in a value.
fn strings<'a>(value: &'a Value, texts: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(all) => all.iter().for_each(|value| strings(value, texts)),
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            texts.push(key);
            strings(value, texts);
        }),
        _ => {}
    }
}

/// A token and the bytes of the rendered text that it stands for.
type Placed = (u32, Range<usize>);

impl Tokenizer {
    pub(crate) fn render_text(&self, messages: &[Message], prompt: bool) -> Result<String> {
        Ok(self.render(messages, prompt, Clock::Now)?.0.text)
    }

    /// The ids of a conversation with everything that a template may be given; as
    /// [`encode_chat`](Tokenizer::encode_chat) in all else.
    ///
    /// # Errors
    /// As [`encode_chat`](Tokenizer::encode_chat).
    pub fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        let (mut rendered, guard) =
            self.render_turns(&prompt.turns, (!prompt.goes_on, &prompt.variables), Clock::Now)?;
        if prompt.goes_on {
            let last = prompt.turns.last().map_or("", |turn| turn.content.trim_end());
            if let Some(at) = rendered.text.rfind(last).filter(|_| !last.is_empty()) {
                let end = at + last.len();
                rendered.text.truncate(end);
                rendered.guarded.retain(|&at| at < end);
            }
        }
        let placed = self.place(&rendered, &guard)?;
        Ok(placed.into_iter().map(|(id, _)| id).collect())
    }

    pub(crate) fn encode_rendered(&self, messages: &[Message], prompt: bool) -> Result<Vec<u32>> {
        let (rendered, guard) = self.render(messages, prompt, Clock::Now)?;
        let placed = self.place(&rendered, &guard)?;
        Ok(placed.into_iter().map(|(id, _)| id).collect())
    }

    pub(crate) fn encode_masked(&self, messages: &[Message], behind: usize) -> Result<(Vec<u32>, Vec<bool>)> {
        if !messages.iter().any(|m| m.role == Role::Assistant) {
            return Err(TokenizerError::NoAssistantTurn);
        }
        let (rendered, guard) = self.render(messages, false, Clock::Training)?;
        let mut spans =
            if self.chat()?.is_marked() { rendered.spans.clone() } else { self.spans_by_prefix(messages, &rendered)? };
        let Some(last) = spans.last_mut() else { return Err(self.no_mask()) };
        if let Some(passed) = messages.last().and_then(|message| message.content.get(..behind)).filter(|_| behind > 0) {
            let at =
                rendered.text.get(last.clone()).and_then(|said| said.find(passed)).ok_or_else(|| self.no_mask())?;
            last.start += at + behind;
        }
        let placed = self.place(&rendered, &guard)?;
        Ok(placed.into_iter().map(|(id, range)| (id, is_within(&range, &spans))).unzip())
    }

    /// The special token after what the assistant says, in a probe.
    pub(crate) fn end_of_turn(&self) -> Option<u32> {
        let probe = [("user", PROBE), ("assistant", PROBE)].map(|(role, content)| Message {
            role: if role == "user" { Role::User } else { Role::Assistant },
            content: content.to_owned(),
        });
        let text = self.render(&probe, false, Clock::Training).ok()?.0.text;
        let said = text.rfind(PROBE)? + PROBE.len();
        let after = self.specials.occurrences(&text[said..]);
        after.first().map(|(_, special)| special.id)
    }

    fn chat(&self) -> Result<&ChatTemplate> {
        self.template.as_ref().ok_or(TokenizerError::NoChatTemplate)
    }

    fn no_mask(&self) -> TokenizerError {
        let name = self.template.as_ref().map_or("", ChatTemplate::name);
        TokenizerError::NoMask { name: name.to_owned() }
    }

    fn render(&self, messages: &[Message], prompt: bool, clock: Clock) -> Result<(Rendered, Guard)> {
        let turns: Vec<Turn> = messages.iter().map(Turn::from).collect();
        self.render_turns(&turns, (prompt, &Map::new()), clock)
    }

    fn render_turns(
        &self,
        turns: &[Turn],
        (prompt, variables): (bool, &Map<String, Value>),
        clock: Clock,
    ) -> Result<(Rendered, Guard)> {
        let template = self.chat()?;
        let mut texts: Vec<&str> = vec![template.source()];
        for turn in turns {
            texts.extend([turn.role.as_str(), turn.content.as_str()]);
            turn.extra.values().for_each(|value| strings(value, &mut texts));
        }
        variables.values().for_each(|value| strings(value, &mut texts));
        let mut guard = Guard::new(texts.into_iter());
        let turns: Vec<Turn> = turns
            .iter()
            .map(|turn| Turn {
                role: guard.protect(&turn.role, &self.specials),
                content: guard.protect(&turn.content, &self.specials),
                extra: self.protect_all(&turn.extra, &mut guard),
            })
            .collect();
        let variables = self.protect_all(variables, &mut guard);
        let rendered = template.render(&turns, (prompt, &variables), clock)?;
        Ok((Rendered::new(&rendered, &guard), guard))
    }

    fn protect_all(&self, map: &Map<String, Value>, guard: &mut Guard) -> Map<String, Value> {
        map.iter().map(|(key, value)| (guard.protect(key, &self.specials), self.protect(value, guard))).collect()
    }

    fn protect(&self, value: &Value, guard: &mut Guard) -> Value {
        match value {
            Value::String(text) => guard.protect(text, &self.specials).into(),
            Value::Array(all) => all.iter().map(|value| self.protect(value, guard)).collect(),
            Value::Object(map) => Value::Object(self.protect_all(map, guard)),
            other => other.clone(),
        }
    }

    /// Where the assistant speaks, by a template without marks: what each of its messages adds
    /// beyond the prompt for it, without white space after the special token at its end.
    fn spans_by_prefix(&self, messages: &[Message], whole: &Rendered) -> Result<Vec<Range<usize>>> {
        let mut spans = Vec::new();
        let turns = messages.iter().enumerate();
        for (number, _) in turns.filter(|(_, message)| message.role == Role::Assistant) {
            let before = self.render(&messages[..number], true, Clock::Training)?.0.text;
            let after = self.render(&messages[..=number], false, Clock::Training)?.0.text;
            if !after.starts_with(&before) || !whole.text.starts_with(&after) {
                return Err(self.no_mask());
            }
            let trimmed = after.trim_end();
            let ends_special = self.specials.strings().any(|s| trimmed.ends_with(s));
            let end = if ends_special { trimmed.len() } else { after.len() };
            spans.push(before.len()..end.max(before.len()));
        }
        Ok(spans)
    }

    /// The tokens of a rendered conversation.
    fn place(&self, rendered: &Rendered, guard: &Guard) -> Result<Vec<Placed>> {
        if guard.is_idle() {
            let encoding = self.with_specials().encode(rendered.text.as_str(), false);
            return Ok(placed(&encoding.map_err(TokenizerError::encode)?, 0));
        }
        self.place_pieces(rendered)
    }

    /// Cuts the text at the special tokens that the template wrote and encodes what lies between as
    /// ordinary text.
    fn place_pieces(&self, rendered: &Rendered) -> Result<Vec<Placed>> {
        let text = rendered.text.as_str();
        let (mut tokens, mut from) = (Vec::new(), 0);
        for (range, special) in self.specials.occurrences(text) {
            if range.start < from || rendered.is_guarded(&range) {
                continue;
            }
            let end = trimmed_end(text, from..range.start, &special);
            self.place_plain(text, from..end, &mut tokens)?;
            from = range.end + trimmed_start(&text[range.end..], &special);
            tokens.push((special.id, range));
        }
        self.place_plain(text, from..text.len(), &mut tokens)?;
        Ok(tokens)
    }

    fn place_plain(&self, text: &str, range: Range<usize>, out: &mut Vec<Placed>) -> Result<()> {
        let piece = &text[range.clone()];
        let encoding = self.plain.encode(piece, false).map_err(TokenizerError::encode)?;
        let tokens = placed(&encoding, range.start);
        if tokens.iter().any(|(id, _)| self.is_control(*id)) {
            let ids = self.encode(piece)?;
            out.extend(ids.into_iter().map(|id| (id, range.clone())));
        } else {
            out.extend(tokens);
        }
        Ok(())
    }
}

fn placed(encoding: &tokenizers::Encoding, start: usize) -> Vec<Placed> {
    let offsets = encoding.get_offsets().iter();
    encoding.get_ids().iter().zip(offsets).map(|(&id, &(from, to))| (id, start + from..start + to)).collect()
}

/// Whether a token shares bytes with a span, or, having none, lies in one.
fn is_within(token: &Range<usize>, spans: &[Range<usize>]) -> bool {
    spans.iter().any(|span| token.start < span.end && (token.end > span.start || token.start >= span.start))
}

/// The end of the text before a special token, which may swallow white space.
fn trimmed_end(text: &str, range: Range<usize>, special: &Special) -> usize {
    if special.token.lstrip { range.start + text[range].trim_end().len() } else { range.end }
}

/// How much white space after it a special token swallows.
fn trimmed_start(text: &str, special: &Special) -> usize {
    if special.token.rstrip { text.len() - text.trim_start().len() } else { 0 }
}
