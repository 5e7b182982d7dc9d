//! Typed configs out of a [`Node`], with the place of whatever does not fit.

use std::fmt;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use crate::tree::{Data, Entry, Node, Place};

/// What does not fit, and where.
#[derive(Debug)]
pub(crate) struct Misfit {
    pub(crate) fault: Fault,
    /// The innermost place known.
    pub(crate) place: Option<Place>,
    /// Keys from the innermost outwards.
    pub(crate) path: Vec<String>,
}

/// The ways of not fitting.
#[derive(Debug)]
pub(crate) enum Fault {
    UnknownKey { key: String, known: &'static [&'static str] },
    UnknownWord { word: String, known: &'static [&'static str] },
    MissingKey(&'static str),
    Other(String),
}

impl Misfit {
    fn new(fault: Fault) -> Self {
        Self { fault, place: None, path: Vec::new() }
    }

    fn within(mut self, place: &Place, key: Option<&str>) -> Self {
        self.place.get_or_insert_with(|| place.clone());
        self.path.extend(key.map(str::to_owned));
        self
    }

    /// The dotted path of the value that does not fit, then `last`.
    pub(crate) fn key(&self, last: Option<&str>) -> String {
        self.path.iter().rev().map(String::as_str).chain(last).collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::UnknownKey { key, .. } => write!(f, "unknown key `{}`", self.key(Some(key))),
            Fault::UnknownWord { word, .. } => {
                write!(f, "`{}`: unknown word `{word}`", self.key(None))
            }
            Fault::MissingKey(key) => write!(f, "the key `{}` is missing", self.key(Some(key))),
            Fault::Other(message) => write!(f, "`{}`: {message}", self.key(None)),
        }
    }
}

impl std::error::Error for Misfit {}

impl Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::Other(message.to_string()))
    }

    fn invalid_type(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format_args!("expected {expected}, got {got}"))
    }

    fn invalid_value(got: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(got, expected)
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownWord { word: word.to_owned(), known })
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::new(Fault::UnknownKey { key: key.to_owned(), known })
    }

    fn missing_field(key: &'static str) -> Self {
        Self::new(Fault::MissingKey(key))
    }
}

impl<'de> Deserializer<'de> for &Node {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let result = match &self.data {
            Data::Null => visitor.visit_unit(),
            Data::Bool(b) => visitor.visit_bool(*b),
            Data::Text(s) => visitor.visit_str(s),
            Data::Number(n) => visit_number(n, visitor),
            Data::List(items) => visitor.visit_seq(Items(items.iter())),
            Data::Table(entries) => visitor.visit_map(Entries { rest: entries.iter(), current: None }),
        };
        result.map_err(|e: Misfit| e.within(&self.place, None))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.data {
            Data::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let result = match &self.data {
            Data::Text(word) => StrDeserializer::<Misfit>::new(word).deserialize_enum(name, variants, visitor),
            Data::Table(entries) => {
                let access = Entries { rest: entries.iter(), current: None };
                MapAccessDeserializer::new(access).deserialize_enum(name, variants, visitor)
            }
            _ => return self.deserialize_any(visitor),
        };
        result.map_err(|e| e.within(&self.place, None))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn visit_number<'de, V: Visitor<'de>>(number: &serde_json::Number, visitor: V) -> Result<V::Value, Misfit> {
    match (number.as_u64(), number.as_i64(), number.as_f64()) {
        (Some(n), _, _) => visitor.visit_u64(n),
        (None, Some(n), _) => visitor.visit_i64(n),
        (None, None, Some(x)) => visitor.visit_f64(x),
        (None, None, None) => Err(Misfit::custom("this number does not fit in 64 bits")),
    }
}

struct Items<'a>(std::slice::Iter<'a, Node>);

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        self.0.next().map(|node| seed.deserialize(node)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'a> {
    rest: std::slice::Iter<'a, Entry>,
    current: Option<&'a Entry>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        self.current = self.rest.next();
        let Some(entry) = self.current else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Misfit> = entry.key.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|e| e.within(&entry.place, None))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        let Some(entry) = self.current.take() else {
            return Err(Misfit::custom("a value was asked for before its key"));
        };
        seed.deserialize(&entry.node).map_err(|e| e.within(&entry.node.place, Some(&entry.key)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}
