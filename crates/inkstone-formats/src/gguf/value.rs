//! Values of metadata.

/// A value.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the types' own names")]
pub enum GgufValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(GgufArray),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// Values of one type.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufArray {
    /// The number of the type in files; needed where there are no values.
    pub(super) kind: u32,
    pub(super) values: Vec<GgufValue>,
}

impl GgufArray {
    /// The values.
    pub fn values(&self) -> &[GgufValue] {
        &self.values
    }
}

impl GgufValue {
    /// Strings in a row.
    pub fn strings(values: impl IntoIterator<Item = String>) -> Self {
        Self::Array(GgufArray { kind: 8, values: values.into_iter().map(Self::String).collect() })
    }

    /// Integers in a row.
    pub fn integers(values: impl IntoIterator<Item = i32>) -> Self {
        Self::Array(GgufArray { kind: 5, values: values.into_iter().map(Self::I32).collect() })
    }

    /// Numbers in a row.
    pub fn floats(values: impl IntoIterator<Item = f32>) -> Self {
        Self::Array(GgufArray { kind: 6, values: values.into_iter().map(Self::F32).collect() })
    }

    /// The number of the type in files.
    pub(super) fn kind(&self) -> u32 {
        match self {
            Self::U8(_) => 0,
            Self::I8(_) => 1,
            Self::U16(_) => 2,
            Self::I16(_) => 3,
            Self::U32(_) => 4,
            Self::I32(_) => 5,
            Self::F32(_) => 6,
            Self::Bool(_) => 7,
            Self::String(_) => 8,
            Self::Array(_) => 9,
            Self::U64(_) => 10,
            Self::I64(_) => 11,
            Self::F64(_) => 12,
        }
    }

    /// A whole number that is not negative, of whatever width.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(x) => Some(x.into()),
            Self::U16(x) => Some(x.into()),
            Self::U32(x) => Some(x.into()),
            Self::U64(x) => Some(x),
            Self::I8(x) => u64::try_from(x).ok(),
            Self::I16(x) => u64::try_from(x).ok(),
            Self::I32(x) => u64::try_from(x).ok(),
            Self::I64(x) => u64::try_from(x).ok(),
            _ => None,
        }
    }

    /// A number, of whatever kind.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Self::F32(x) => Some(x.into()),
            Self::F64(x) => Some(x),
            Self::I8(x) => Some(x.into()),
            Self::I16(x) => Some(x.into()),
            Self::I32(x) => Some(x.into()),
            _ => self.as_u64().map(|x| x as f64),
        }
    }

    /// A text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Yes or no.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(answer) => Some(*answer),
            _ => None,
        }
    }

    /// Values in a row.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(array) => Some(array.values()),
            _ => None,
        }
    }
}
