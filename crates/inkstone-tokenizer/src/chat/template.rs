//! The Jinja environment of chat templates, as transformers sets it up.

use std::io::{self, Write};

use inkstone_corpus::chat::{Message, Role};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde};
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Map;

use super::date::Clock;
use super::guard::{END, START};
use super::python::{Style, dumps};
use crate::error::{Result, TokenizerError};
use crate::folder::token_name;

/// Instructions that a template may take; one of 400 messages takes about 20,000.
const FUEL: u64 = 20_000_000;
/// The most that a template may write.
const MAX_OUTPUT_BYTES: usize = 64 << 20;
/// The filter that stands in for `{% generation %}`, which the template engine does not know.
const MARK: &str = "inkstone_generation";

/// A parsed chat template.
pub(crate) struct ChatTemplate {
    source: String,
    name: String,
    environments: [Environment<'static>; 2],
    marked: bool,
    tokens: Vec<(String, String)>,
}

/// A message as templates see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or whatever else a template knows.
    pub role: String,
    /// What is said.
    pub content: String,
    /// Further fields, such as `tool_calls`, `tool_call_id` and `name`.
    pub extra: Map<String, serde_json::Value>,
}

impl From<&Message> for Turn {
    fn from(message: &Message) -> Self {
        let role = match message.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        Self { role: role.to_owned(), content: message.content.clone(), extra: Map::new() }
    }
}

impl Turn {
    fn value(&self) -> Value {
        let own = [("role", self.role.as_str()), ("content", self.content.as_str())];
        let own = own.map(|(key, text)| (key, Value::from(text)));
        let extra = self.extra.iter().map(|(key, value)| (key.as_str(), Value::from(Serde(value.clone()))));
        Value::from_pairs(own.into_iter().chain(extra).collect::<Vec<_>>())
    }
}

impl ChatTemplate {
    /// Parses a template; `name` is for messages. `config` names the special tokens, which the
    /// template sees as `bos_token`, `eos_token` and so on.
    ///
    /// # Errors
    /// If it is no template; the error names the line.
    pub(crate) fn new(name: &str, source: &str, config: &Map<String, serde_json::Value>) -> Result<Self> {
        let (parsed, marked) = replace_generation(source);
        let wrong = |error: &Error| template_error(name, error);
        let environment = |clock| environment(&parsed, clock).map_err(|error| wrong(&error));
        let tokens = config
            .iter()
            .filter(|(key, _)| key.ends_with("_token"))
            .filter_map(|(key, value)| Some((key.clone(), token_name(Some(value))?.to_owned())))
            .collect();
        Ok(Self {
            source: source.to_owned(),
            name: name.to_owned(),
            environments: [environment(Clock::Now)?, environment(Clock::Training)?],
            marked,
            tokens,
        })
    }

    /// The template's text.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it marks what the assistant says.
    pub(super) fn is_marked(&self) -> bool {
        self.marked
    }

    /// Renders; what the assistant says stands between [`START`] and [`END`] if the template marks it.
    ///
    /// `extra` are variables beside the usual ones, such as `tools`.
    pub(super) fn render(
        &self,
        turns: &[Turn],
        (prompt, extra): (bool, &Map<String, serde_json::Value>),
        clock: Clock,
    ) -> Result<String> {
        let environment = &self.environments[usize::from(clock == Clock::Training)];
        let wrong = |error: Error| template_error(&self.name, &error);
        let mut variables: Vec<(&str, Value)> = vec![
            ("messages", turns.iter().map(Turn::value).collect()),
            ("add_generation_prompt", Value::from(prompt)),
            ("tools", Value::from(())),
            ("documents", Value::from(())),
        ];
        let tokens = self.tokens.iter();
        variables.extend(tokens.map(|(key, token)| (key.as_str(), Value::from(token.as_str()))));
        // The last of two values of one name counts.
        variables.extend(extra.iter().map(|(key, value)| (key.as_str(), Value::from(Serde(value.clone())))));
        let template = environment.get_template("chat").map_err(wrong)?;
        let mut output = Bounded(Vec::new());
        let rendered = template.render_captured_to(Value::from_pairs(variables), &mut output);
        if output.0.len() > MAX_OUTPUT_BYTES {
            return Err(TokenizerError::TemplateOutput { name: self.name.clone(), limit: MAX_OUTPUT_BYTES });
        }
        rendered.map_err(wrong)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }
}

/// Takes no more than [`MAX_OUTPUT_BYTES`] and one byte.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = (MAX_OUTPUT_BYTES + 1).saturating_sub(self.0.len());
        if room == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let taken = bytes.len().min(room);
        self.0.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn template_error(name: &str, error: &Error) -> TokenizerError {
    let kind = error.kind();
    let reason = match error.detail() {
        Some(detail) if kind == ErrorKind::InvalidOperation => detail.to_owned(),
        Some(detail) => format!("{kind}: {detail}"),
        None => kind.to_string(),
    };
    TokenizerError::Template { name: name.to_owned(), line: error.line().unwrap_or(0), reason }
}

fn environment(source: &str, clock: Clock) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    let mut syntax = SyntaxConfig::builder();
    environment.set_syntax(syntax.trim_blocks(true).lstrip_blocks(true).build()?);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.add_function("raise_exception", |message: String| -> Result<String, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    environment.add_function("strftime_now", move |format: String| {
        clock.format(&format).map_err(|reason| Error::new(ErrorKind::InvalidOperation, reason))
    });
    environment.add_filter("tojson", to_json);
    environment.add_filter(MARK, |text: String| format!("{START}{text}{END}"));
    environment.add_template_owned("chat", source.to_owned())?;
    Ok(environment)
}

#[allow(clippy::needless_pass_by_value, reason = "filters take their arguments so")]
fn to_json(value: &Value, options: Kwargs) -> Result<String, Error> {
    let style = Style {
        indent: options.get("indent")?,
        ensure_ascii: options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: options.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
        separators: separators(options.get("separators")?),
    };
    options.assert_all_used()?;
    let value =
        serde_json::to_value(value).map_err(|error| Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(dumps(&value, &style))
}

fn separators(value: Option<Vec<String>>) -> Option<(String, String)> {
    let [item, key] = <[String; 2]>::try_from(value?).ok()?;
    Some((item, key))
}

/// Writes `{% generation %}` as a filter block, which has the same rules of white space and adds no
/// line. Returns whether there was one.
fn replace_generation(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let (mut rest, mut marked) = (source, false);
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        out.push_str(before);
        let end = tag.find("%}").map_or(tag.len(), |end| end + 2);
        let (tag, after) = tag.split_at(end);
        let word = tag.trim_start_matches("{%").trim_end_matches("%}").trim_matches(['-', '+']).trim();
        match word {
            "generation" => {
                marked = true;
                out.push_str(&tag.replace(word, &format!("filter {MARK}")));
            }
            "endgeneration" => out.push_str(&tag.replace(word, "endfilter")),
            _ => out.push_str(tag),
        }
        rest = after;
    }
    out.push_str(rest);
    (out, marked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generation_becomes_a_filter_on_the_same_line() {
        let (text, marked) = replace_generation("a\n{%- generation -%}\nb{% endgeneration +%}{% if x %}");
        assert!(marked);
        assert_eq!(text, "a\n{%- filter inkstone_generation -%}\nb{% endfilter +%}{% if x %}");
        assert_eq!(replace_generation("{{ x }} {% open").0, "{{ x }} {% open");
    }
}
