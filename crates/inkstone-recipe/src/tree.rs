//! TOML values that remember where they stand.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::RecipeError;

/// Where something stands: a recipe file with line and column, a built-in recipe, or a `--set`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(Arc<Spot>);

#[derive(Debug, PartialEq, Eq)]
struct Spot {
    origin: Arc<str>,
    position: Option<(usize, usize)>,
}

impl Place {
    /// A place without lines.
    pub(crate) fn origin(origin: &str) -> Self {
        Self(Arc::new(Spot { origin: origin.into(), position: None }))
    }

    /// `recipes/tang-poems.toml`, `built-in quickstart` or `--set pretrain.steps=2`.
    pub fn name(&self) -> &str {
        &self.0.origin
    }

    /// Line and column from 1, where the origin has lines. Columns count characters.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.0.position
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position() {
            Some((line, column)) => write!(f, "{}:{line}:{column}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// A value with its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) data: Data,
    pub(crate) place: Place,
}

/// What a [`Node`] holds. `Null` comes from JSON only.
#[derive(Debug, Clone)]
pub(crate) enum Data {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

/// A key with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) node: Node,
}

impl Node {
    /// A JSON value, all of it at one place.
    pub(crate) fn from_json(value: &Value, place: &Place) -> Self {
        let below = |v: &Value| Self::from_json(v, place);
        let entry = |(k, v): (&String, &Value)| Entry { key: k.clone(), place: place.clone(), node: below(v) };
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(b) => Data::Bool(*b),
            Value::Number(n) => Data::Number(n.clone()),
            Value::String(s) => Data::Text(s.clone()),
            Value::Array(items) => Data::List(items.iter().map(below).collect()),
            Value::Object(map) => Data::Table(map.iter().map(entry).collect()),
        };
        Self { data, place: place.clone() }
    }

    /// The value below a dotted path; list items by number.
    pub(crate) fn at(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, key| match &node.data {
            Data::Table(entries) => entries.iter().find(|e| e.key == key).map(|e| &e.node),
            Data::List(items) => items.get(key.parse::<usize>().ok()?),
            _ => None,
        })
    }

    /// Sets the value below `path`, making tables on the way. `Err` names a key that is no table.
    pub(crate) fn set(&mut self, path: &[&str], value: Self) -> Result<(), String> {
        let Some((first, rest)) = path.split_first() else {
            *self = value;
            return Ok(());
        };
        let Data::Table(entries) = &mut self.data else {
            return Err((*first).to_owned());
        };
        let index = entries.iter().position(|e| e.key == *first).unwrap_or_else(|| {
            let place = value.place.clone();
            let node = Self { data: Data::Table(Vec::new()), place: place.clone() };
            entries.push(Entry { key: (*first).to_owned(), place, node });
            entries.len() - 1
        });
        entries[index].node.set(rest, value)
    }
}

/// Reads TOML text into a tree. Its root is a table.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Vec<Entry>, RecipeError> {
    let reader = Reader { text, origin: origin.into() };
    let table = DeTable::parse(text).map_err(|e| reader.syntax(&e))?;
    reader.table(table.into_inner())
}

/// Reads one TOML value, e.g. of `--set`. `None` where it is not TOML.
pub(crate) fn parse_value(text: &str, origin: &str) -> Option<Result<Node, RecipeError>> {
    let reader = Reader { text, origin: origin.into() };
    let value = DeValue::parse(text).ok()?;
    Some(reader.value(value).map(|mut node| {
        forget_positions(&mut node);
        node
    }))
}

/// A position within the text of a `--set` tells nobody anything.
fn forget_positions(node: &mut Node) {
    node.place = Place::origin(node.place.name());
    match &mut node.data {
        Data::List(items) => items.iter_mut().for_each(forget_positions),
        Data::Table(entries) => entries.iter_mut().for_each(|e| {
            e.place = Place::origin(e.place.name());
            forget_positions(&mut e.node);
        }),
        _ => {}
    }
}

struct Reader<'a> {
    text: &'a str,
    origin: Arc<str>,
}

impl Reader<'_> {
    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        Place(Arc::new(Spot { origin: self.origin.clone(), position: Some((line, column)) }))
    }

    fn syntax(&self, error: &toml::de::Error) -> RecipeError {
        let offset = error.span().map_or(0, |s| s.start);
        let foreign = self.text.get(offset..).and_then(|t| t.chars().next()).is_some_and(|c| !c.is_ascii());
        let advice = if foreign { "; a key with other signs than A-Z, a-z, 0-9, _ and - stands in quotes" } else { "" };
        RecipeError::Syntax { place: self.place(offset), message: format!("{}{advice}", error.message()) }
    }

    fn table(&self, table: DeTable<'_>) -> Result<Vec<Entry>, RecipeError> {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let place = self.place(key.span().start);
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            Ok(Entry { key: key.into_owned(), place, node: self.value(value)? })
        };
        table.into_iter().map(entry).collect()
    }

    fn value(&self, value: Spanned<DeValue<'_>>) -> Result<Node, RecipeError> {
        let place = self.place(value.span().start);
        let bad = |message: &str| RecipeError::Syntax { place: place.clone(), message: message.to_owned() };
        let data = match value.into_inner() {
            DeValue::String(s) => Data::Text(s.into_owned()),
            DeValue::Boolean(b) => Data::Bool(b),
            DeValue::Datetime(d) => Data::Text(d.to_string()),
            DeValue::Integer(i) => {
                Data::Number(integer(i.as_str(), i.radix()).ok_or_else(|| bad("this integer does not fit in 64 bits"))?)
            }
            DeValue::Float(x) => {
                let number = x.as_str().parse().ok().and_then(Number::from_f64);
                Data::Number(number.ok_or_else(|| bad("a number must be finite"))?)
            }
            DeValue::Array(items) => Data::List(items.into_iter().map(|v| self.value(v)).collect::<Result<_, _>>()?),
            DeValue::Table(table) => Data::Table(self.table(table)?),
        };
        Ok(Node { data, place })
    }
}

fn integer(digits: &str, radix: u32) -> Option<Number> {
    let signed = i64::from_str_radix(digits, radix).map(Number::from);
    signed.or_else(|_| u64::from_str_radix(digits, radix).map(Number::from)).ok()
}

/// A recipe's table as TOML: `[name]`, then one line a key, nested tables inline, nulls left out.
pub(crate) fn write_table(out: &mut String, name: &str, table: &Map<String, Value>) {
    use fmt::Write;
    let _ = writeln!(out, "\n[{}]", key(name));
    for (k, v) in table.iter().filter(|(_, v)| !v.is_null()) {
        let _ = writeln!(out, "{} = {}", key(k), inline(v));
    }
}

/// A key, quoted where it must be.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { quoted(name) }
}

/// A value on one line.
pub(crate) fn inline(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(s) => quoted(s),
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs = map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| format!("{} = {}", key(k), inline(v)));
            let pairs: Vec<String> = pairs.collect();
            if pairs.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
        }
    }
}

/// A basic string. JSON's escapes are TOML's, but for DEL.
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007F")
}
