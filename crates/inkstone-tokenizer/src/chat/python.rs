//! `tojson` of chat templates: what Python's `json.dumps(value, ensure_ascii=False)` writes.

use std::fmt::Write;

use serde_json::Value;

/// Options of `json.dumps`.
#[derive(Debug, Clone, Default)]
pub(super) struct Style {
    /// Spaces a level; `None` writes one line.
    pub indent: Option<usize>,
    /// Whether characters beyond ASCII are escaped.
    pub ensure_ascii: bool,
    /// Whether keys are sorted.
    pub sort_keys: bool,
    /// Between items and after a key; by default as Python has it.
    pub separators: Option<(String, String)>,
}

/// Writes `value`.
pub(super) fn dumps(value: &Value, style: &Style) -> String {
    let mut out = String::new();
    let (item, key) = match (&style.separators, style.indent) {
        (Some((item, key)), _) => (item.as_str(), key.as_str()),
        (None, None) => (", ", ": "),
        (None, Some(_)) => (",", ": "),
    };
    Writer { out: &mut out, style, item, key }.value(value, 0);
    out
}

struct Writer<'a> {
    out: &'a mut String,
    style: &'a Style,
    item: &'a str,
    key: &'a str,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, level: usize) {
        match value {
            Value::String(text) => self.string(text),
            Value::Array(items) if items.is_empty() => self.out.push_str("[]"),
            Value::Object(entries) if entries.is_empty() => self.out.push_str("{}"),
            Value::Array(items) => {
                self.out.push('[');
                for (number, item) in items.iter().enumerate() {
                    self.separate(number, level + 1);
                    self.value(item, level + 1);
                }
                self.close(']', level);
            }
            Value::Object(entries) => {
                let mut entries: Vec<_> = entries.iter().collect();
                if self.style.sort_keys {
                    entries.sort_by_key(|(key, _)| *key);
                }
                self.out.push('{');
                for (number, (key, item)) in entries.into_iter().enumerate() {
                    self.separate(number, level + 1);
                    self.string(key);
                    self.out.push_str(self.key);
                    self.value(item, level + 1);
                }
                self.close('}', level);
            }
            other => self.out.push_str(&other.to_string()),
        }
    }

    fn separate(&mut self, number: usize, level: usize) {
        if number > 0 {
            self.out.push_str(self.item);
        }
        self.line(level);
    }

    fn close(&mut self, bracket: char, level: usize) {
        self.line(level);
        self.out.push(bracket);
    }

    fn line(&mut self, level: usize) {
        if let Some(indent) = self.style.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', indent * level));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.style.ensure_ascii && c > '~') => self.escape(c),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(self.out, "\\u{unit:04x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn as_python_writes_it() {
        let value = json!({"b": [1, 2.5, null, true, []], "a": "砚<\"\n\u{1}😀"});
        let line = dumps(&value, &Style::default());
        assert_eq!(line, "{\"b\": [1, 2.5, null, true, []], \"a\": \"砚<\\\"\\n\\u0001😀\"}");
        let style = Style { indent: Some(2), sort_keys: true, ensure_ascii: true, separators: None };
        assert_eq!(
            dumps(&json!({"b": [1], "a": "😀"}), &style),
            "{\n  \"a\": \"\\ud83d\\ude00\",\n  \"b\": [\n    1\n  ]\n}"
        );
    }
}
