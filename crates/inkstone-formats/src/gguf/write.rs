//! Writing: the head first, then each tensor to its place, in whatever order they come.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use super::{DEFAULT_ALIGNMENT, GgmlType, GgufValue, MAGIC, MAX_NAME_BYTES, VERSION, wrong};
use crate::FormatError;
use crate::aside::AsideFile;

/// A tensor that will be in a file.
#[derive(Debug, Clone)]
pub struct GgufLayout {
    /// Its name, at most 64 bytes.
    pub name: String,
    /// Its type.
    pub kind: GgmlType,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

/// A GGUF file under way: metadata, names and shapes are known, the bytes come one tensor at a time.
pub struct GgufWriter {
    aside: AsideFile,
    start: u64,
    /// Offset and length of each tensor that has not been written yet.
    missing: BTreeMap<String, (u64, usize)>,
    length: u64,
}

impl GgufWriter {
    /// Begins the file that will be `path`, with entries and tensors in the given order.
    pub fn create(path: &Path, metadata: &[(String, GgufValue)], tensors: &[GgufLayout]) -> Result<Self, FormatError> {
        let mut head = Vec::new();
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&(tensors.len() as u64).to_le_bytes());
        head.extend_from_slice(&(metadata.len() as u64).to_le_bytes());
        for (key, value) in metadata {
            put_string(&mut head, key);
            head.extend_from_slice(&value.kind().to_le_bytes());
            put_value(&mut head, value);
        }
        let (missing, length) = put_tensors(path, &mut head, tensors)?;
        head.resize(head.len().next_multiple_of(DEFAULT_ALIGNMENT as usize), 0);
        let mut aside = AsideFile::create(path)?;
        aside.file().write_all(&head).map_err(FormatError::io(path, "write"))?;
        Ok(Self { aside, start: head.len() as u64, missing, length })
    }

    /// Writes the blocks of one tensor.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        let path = self.aside.path().to_owned();
        let misfit = |expected: String, got: String| FormatError::Tensor {
            path: path.clone(),
            tensor: name.to_owned(),
            expected,
            got,
        };
        let Some((offset, length)) = self.missing.remove(name) else {
            return Err(misfit("a tensor of the layout, once".into(), "an unknown or repeated name".into()));
        };
        if bytes.len() != length {
            return Err(misfit(format!("{length} bytes"), format!("{} bytes", bytes.len())));
        }
        let file = self.aside.file();
        let written = file.seek(SeekFrom::Start(self.start + offset)).and_then(|_| file.write_all(bytes));
        written.map_err(FormatError::io(&path, "write"))
    }

    /// Puts the file in its place. A tensor that was never written is an error.
    pub fn finish(mut self) -> Result<(), FormatError> {
        let path = self.aside.path().to_owned();
        if let Some(name) = self.missing.keys().next() {
            let (expected, got) = ("its blocks".into(), "none".into());
            return Err(FormatError::Tensor { path, tensor: name.clone(), expected, got });
        }
        // The last tensor is padded too.
        let length = self.start + self.length;
        self.aside.file().set_len(length).map_err(FormatError::io(&path, "resize"))?;
        self.aside.finish()
    }
}

type Places = BTreeMap<String, (u64, usize)>;

/// Puts the entries of the tensors, and returns where they lie and how long all are together.
fn put_tensors(path: &Path, head: &mut Vec<u8>, tensors: &[GgufLayout]) -> Result<(Places, u64), FormatError> {
    let (mut places, mut offset) = (BTreeMap::new(), 0_u64);
    for GgufLayout { name, kind, shape } in tensors {
        let Some(bytes) = kind.bytes_of(shape) else {
            let detail = format!("tensor `{name}` of {shape:?} does not fill whole blocks of {}", kind.name);
            return Err(wrong(path, head.len(), detail));
        };
        if name.len() > MAX_NAME_BYTES || places.insert(name.clone(), (offset, bytes)).is_some() {
            return Err(wrong(path, head.len(), format!("the name `{name}` is too long or comes twice")));
        }
        put_string(head, name);
        head.extend_from_slice(&(shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|&size| head.extend_from_slice(&(size as u64).to_le_bytes()));
        head.extend_from_slice(&kind.id.to_le_bytes());
        head.extend_from_slice(&offset.to_le_bytes());
        offset = (offset + bytes as u64).next_multiple_of(DEFAULT_ALIGNMENT);
    }
    Ok((places, offset))
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &GgufValue) {
    match value {
        GgufValue::U8(x) => out.push(*x),
        GgufValue::I8(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::U16(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::I16(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::U32(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::I32(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::F32(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::Bool(x) => out.push(u8::from(*x)),
        GgufValue::String(text) => put_string(out, text),
        GgufValue::Array(array) => {
            out.extend_from_slice(&array.kind.to_le_bytes());
            out.extend_from_slice(&(array.values.len() as u64).to_le_bytes());
            array.values.iter().for_each(|value| put_value(out, value));
        }
        GgufValue::U64(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::I64(x) => out.extend_from_slice(&x.to_le_bytes()),
        GgufValue::F64(x) => out.extend_from_slice(&x.to_le_bytes()),
    }
}
