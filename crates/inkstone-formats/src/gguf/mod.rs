//! GGUF: one file with metadata and tensors, as llama.cpp and its kin read and write it.
//!
//! Layout (version 3, little-endian; <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>): `GGUF`, `u32` version, `u64` tensors, `u64`
//! entries; the entries, each a string, a type, a value; for each tensor its name, its axes with the fastest first, its type, the offset of its
//! bytes; then the bytes of all tensors, each at a multiple of `general.alignment`.

mod read;
mod split;
mod value;
mod write;

pub use read::{GgufFile, GgufTensor};
pub use value::{GgufArray, GgufValue};
pub use write::{GgufLayout, GgufWriter};

use crate::FormatError;
use std::path::Path;

const MAGIC: &[u8; 4] = b"GGUF";
/// The version that is written. Version 2 has the same layout and is read too.
const VERSION: u32 = 3;
/// Where the file does not say.
const DEFAULT_ALIGNMENT: u64 = 32;
const ALIGNMENT: &str = "general.alignment";
/// Axes of a tensor at most.
const MAX_AXES: usize = 4;
/// A longer name is refused, here as there.
const MAX_NAME_BYTES: usize = 64;

/// A type of tensor: plain numbers, or blocks of few bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GgmlType {
    /// Its number in files.
    pub id: u32,
    /// Its name, in small letters.
    pub name: &'static str,
    /// Numbers of a block.
    pub elements: usize,
    /// Bytes of a block.
    pub bytes: usize,
}

impl GgmlType {
    /// Single precision.
    pub const F32: Self = Self::new(0, "f32", 1, 4);
    /// Half precision.
    pub const F16: Self = Self::new(1, "f16", 1, 2);
    /// bfloat16.
    pub const BF16: Self = Self::new(30, "bf16", 1, 2);

    /// The types that are known.
    pub const ALL: [Self; 19] = [
        Self::F32,
        Self::F16,
        Self::new(2, "q4_0", 32, 18),
        Self::new(3, "q4_1", 32, 20),
        Self::new(6, "q5_0", 32, 22),
        Self::new(7, "q5_1", 32, 24),
        Self::new(8, "q8_0", 32, 34),
        Self::new(10, "q2_k", 256, 84),
        Self::new(11, "q3_k", 256, 110),
        Self::new(12, "q4_k", 256, 144),
        Self::new(13, "q5_k", 256, 176),
        Self::new(14, "q6_k", 256, 210),
        Self::new(20, "iq4_nl", 32, 18),
        Self::new(24, "i8", 1, 1),
        Self::new(25, "i16", 1, 2),
        Self::new(26, "i32", 1, 4),
        Self::new(27, "i64", 1, 8),
        Self::new(28, "f64", 1, 8),
        Self::BF16,
    ];

    const fn new(id: u32, name: &'static str, elements: usize, bytes: usize) -> Self {
        Self { id, name, elements, bytes }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name == name)
    }

    fn from_id(id: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id == id)
    }

    /// Bytes of a tensor of `shape`, outermost axis first; `None` where rows don't fill whole blocks, or nobody has so many bytes.
    pub fn bytes_of(self, shape: &[usize]) -> Option<usize> {
        let numbers = shape.iter().try_fold(1_usize, |n, &size| n.checked_mul(size))?;
        let whole = shape.last().is_none_or(|width| width.is_multiple_of(self.elements));
        whole.then(|| (numbers / self.elements).checked_mul(self.bytes)).flatten()
    }
}

fn wrong(path: &Path, offset: usize, detail: impl Into<String>) -> FormatError {
    FormatError::Gguf { path: path.to_owned(), offset: offset as u64, detail: detail.into() }
}
