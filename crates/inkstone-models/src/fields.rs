//! The fields of a struct, and checks of their values.

use serde::Deserializer;
use serde::de::{DeserializeOwned, Error, Visitor};
use serde::forward_to_deserialize_any;

use crate::ModelError;

/// No honest model is larger; keeps a broken config from asking for all memory.
const MAX_SIZE: usize = 1 << 24;

/// An error unless `right`; `expected` says what would be right.
pub(crate) fn expect(
    right: bool,
    field: &'static str,
    got: impl std::fmt::Display,
    expected: impl FnOnce() -> String,
) -> Result<(), ModelError> {
    if right { Ok(()) } else { Err(ModelError::Config { field, got: got.to_string(), expected: expected() }) }
}

/// An error unless every size is at least 1 and no larger than any honest model's.
pub(crate) fn expect_sizes(sizes: &[(&'static str, usize)]) -> Result<(), ModelError> {
    let wrong = sizes.iter().find(|(_, size)| *size == 0 || *size > MAX_SIZE);
    wrong.map_or(Ok(()), |&(field, size)| expect(false, field, size, || format!("1 to {MAX_SIZE}")))
}

/// An error unless `word` is one of `known`.
pub(crate) fn expect_word(field: &'static str, word: &str, known: &[&str]) -> Result<(), ModelError> {
    expect(known.contains(&word), field, word, || format!("one of: {}", known.join(", ")))
}

/// The names, and other spellings, of the fields of `T`.
pub(crate) fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    // The attempt ends with the list of fields that it is asked for.
    let _ = T::deserialize(Fields(&mut fields));
    fields
}

/// Notes the fields that a struct asks for, and gives it nothing.
struct Fields<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Fields<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(Self::Error::custom("only the fields were wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("not a struct"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
