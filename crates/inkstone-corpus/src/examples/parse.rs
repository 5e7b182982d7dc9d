//! From a record to an example: which key (or which part of a line) says what.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Answer, Task};
use crate::text::keys_of;

/// Which key of a record holds what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fields {
    /// The text; `text`.
    #[serde(default = "text")]
    pub text: String,
    /// A second text, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<String>,
    /// The choices, where there are any: the key of a list, or one key for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// What is right; `answer`.
    #[serde(default = "answer")]
    pub answer: String,
}

fn text() -> String {
    "text".to_owned()
}

fn answer() -> String {
    "answer".to_owned()
}

impl Default for Fields {
    fn default() -> Self {
        Self { text: text(), pair: None, choices: Vec::new(), answer: answer() }
    }
}

/// Why a record is no example.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadExample {
    /// A key that is not there, or holds something else.
    #[error("there is no {expected} under `{key}`; {keys}")]
    Missing {
        /// The key.
        key: String,
        /// What it should hold.
        expected: &'static str,
        /// The keys of the record.
        keys: String,
    },
    /// A line with too few parts.
    #[error("the line has {got} parts, expected {expected}")]
    Parts {
        /// How many there are.
        got: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A right choice that is none of the choices.
    #[error("the answer `{answer}` is none of the {choices} choices")]
    Choice {
        /// The answer.
        answer: String,
        /// How many there are.
        choices: usize,
    },
    /// A label for another number of words than there are.
    #[error("{tags} labels for {words} words")]
    Tags {
        /// Labels.
        tags: usize,
        /// Words.
        words: usize,
    },
}

/// The example of a record.
///
/// # Errors
/// If a key is missing, or what they say does not fit together.
pub fn parse_example(value: &Value, fields: &Fields) -> Result<Task, BadExample> {
    let none = Map::new();
    let object = value.as_object().unwrap_or(&none);
    let string = |key: &String| {
        object.get(key).and_then(Value::as_str).map(str::to_owned).ok_or_else(|| missing(object, key, "text"))
    };
    let task = Task {
        text: string(&fields.text)?,
        pair: fields.pair.as_ref().map(string).transpose()?,
        choices: choices(object, &fields.choices)?,
        answer: object
            .get(&fields.answer)
            .and_then(parse_answer)
            .ok_or_else(|| missing(object, &fields.answer, "number, text or list of labels"))?,
    };
    check(task)
}

/// The record of a line that is split into `names.len()` parts.
pub(super) fn split_line(line: &str, separator: &str, names: &[String]) -> Result<Value, BadExample> {
    let parts: Vec<&str> = line.splitn(names.len(), separator).collect();
    if parts.len() < names.len() {
        return Err(BadExample::Parts { got: parts.len(), expected: names.len() });
    }
    let object = names.iter().cloned().zip(parts).map(|(name, part)| (name, Value::from(part.trim())));
    Ok(Value::Object(object.collect()))
}

fn missing(object: &Map<String, Value>, key: &str, expected: &'static str) -> BadExample {
    BadExample::Missing { key: key.to_owned(), expected, keys: keys_of(object) }
}

fn choices(object: &Map<String, Value>, keys: &[String]) -> Result<Vec<String>, BadExample> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut all = Vec::new();
    for key in keys {
        let found = match object.get(key) {
            Some(Value::Array(list)) => list.iter().map(text).collect::<Option<Vec<_>>>(),
            Some(value) => text(value).map(|one| vec![one]),
            None => None,
        };
        all.extend(found.ok_or_else(|| missing(object, key, "choice"))?);
    }
    Ok(all)
}

fn parse_answer(value: &Value) -> Option<Answer> {
    match value {
        Value::Number(number) => Some(Answer::Number(number.as_f64()?)),
        Value::Bool(truth) => Some(Answer::Text(truth.to_string())),
        Value::String(text) => Some(Answer::Text(text.clone())),
        Value::Array(list) => {
            list.iter().map(|tag| tag.as_str().map(str::to_owned)).collect::<Option<_>>().map(Answer::Tags)
        }
        _ => None,
    }
}

/// A right choice becomes its index; labels are as many as words.
fn check(mut task: Task) -> Result<Task, BadExample> {
    if !task.choices.is_empty() {
        let answer = task.answer.words();
        let named = task.choices.iter().position(|choice| *choice == answer);
        let index = task.answer.number().filter(|n| n.fract() == 0.0 && (0.0..task.choices.len() as f64).contains(n));
        let index = named.map(|n| n as f64).or(index);
        let choices = task.choices.len();
        task.answer = Answer::Number(index.ok_or(BadExample::Choice { answer, choices })?);
    }
    if let Answer::Tags(tags) = &task.answer {
        let (tags, words) = (tags.len(), task.text.split_whitespace().count());
        if tags != words {
            return Err(BadExample::Tags { tags, words });
        }
    }
    Ok(task)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Answer, BadExample, Fields, parse_example, split_line};

    #[test]
    fn lines_and_records_say_the_same() {
        let names = ["answer".to_owned(), "text".to_owned()];
        let line = split_line("1 a good  film", " ", &names).expect("two parts");
        let record = json!({"text": "a good  film", "answer": "1"});
        let parse = |value| parse_example(value, &Fields::default());
        assert_eq!(parse(&line), parse(&record));
        assert_eq!(split_line("alone", " ", &names), Err(BadExample::Parts { got: 1, expected: 2 }));
    }

    #[test]
    fn a_right_choice_is_its_index_and_labels_fit_the_words() {
        let fields = Fields { choices: vec!["a".into(), "b".into()], ..Fields::default() };
        let parse = |answer| parse_example(&json!({"text": "q", "a": "yes", "b": "no", "answer": answer}), &fields);
        assert_eq!(parse(json!("no")).map(|task| task.answer), Ok(Answer::Number(1.0)));
        assert_eq!(parse(json!(0)).map(|task| task.answer), Ok(Answer::Number(0.0)));
        assert!(matches!(parse(json!(2)), Err(BadExample::Choice { .. })));
        let tags = |tags| parse_example(&json!({"text": "two words", "answer": tags}), &Fields::default());
        assert!(tags(json!(["A", "B"])).is_ok());
        assert_eq!(tags(json!(["A"])), Err(BadExample::Tags { tags: 1, words: 2 }));
    }
}
