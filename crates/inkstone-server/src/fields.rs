//! Reading the fields of a request: each with its kind and bounds, and an error that names it.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// The fields of a request; `null` is as if a field were not there.
pub(crate) struct Fields<'a>(pub(crate) &'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// A field that is there.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Refuses fields that the API has and we do not, unless they say what we do anyway.
    pub(crate) fn refuse(&self, unsupported: &[(&str, &[Value])]) -> Result<(), ApiError> {
        let asked = |(name, neutral): &&(&str, &[Value])| self.get(name).is_some_and(|value| !neutral.contains(value));
        match unsupported.iter().find(asked) {
            Some((name, _)) => Err(ApiError::unsupported(name)),
            None => Ok(()),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        self.as_kind(name, "a string", Value::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.as_kind(name, "true or false", Value::as_bool)
    }

    /// A whole number of `least` to `most`.
    pub(crate) fn count(&self, name: &str, (least, most): (u64, u64)) -> Result<Option<usize>, ApiError> {
        let value = self.as_kind(name, "a whole number", Value::as_u64)?;
        match value {
            Some(value) if value < least || value > most => {
                Err(ApiError::field(name, format!("`{name}` is {value}, expected {least} to {most}")))
            }
            value => Ok(value.map(|value| value as usize)),
        }
    }

    /// A number of `least` to `most`.
    pub(crate) fn number(&self, name: &str, (least, most): (f64, f64)) -> Result<Option<f32>, ApiError> {
        let value = self.as_kind(name, "a number", Value::as_f64)?;
        match value {
            Some(value) if !(least..=most).contains(&value) => {
                Err(ApiError::field(name, format!("`{name}` is {value}, expected {least} to {most}")))
            }
            value => Ok(value.map(|value| value as f32)),
        }
    }

    /// Any integer, by its bits.
    pub(crate) fn seed(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let bits = |value: &Value| value.as_u64().or_else(|| value.as_i64().map(|x| x as u64));
        self.as_kind(name, "an integer", bits)
    }

    /// A string, or a list of at most `most`.
    pub(crate) fn texts(&self, name: &str, most: usize) -> Result<Vec<String>, ApiError> {
        let wrong = || ApiError::field(name, format!("`{name}`: expected a string or a list of at most {most}"));
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text.clone()]),
            Some(Value::Array(all)) if all.len() <= most => {
                all.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Some(_) => Err(wrong()),
        }
    }

    /// A list of token ids.
    pub(crate) fn ids(&self, name: &str) -> Result<Vec<u32>, ApiError> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(value) => ids(value).ok_or_else(|| ApiError::field(name, format!("`{name}`: expected token ids"))),
        }
    }

    fn as_kind<T>(
        &self,
        name: &str,
        kind: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let wrong = || ApiError::field(name, format!("`{name}`: expected {kind}"));
        read(value).map(Some).ok_or_else(wrong)
    }
}

/// A list of token ids.
pub(crate) fn ids(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}
