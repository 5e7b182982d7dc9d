//! Writing: the header first, then each tensor to its place, in whatever order they come.

use std::collections::BTreeMap;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};

use super::{MAX_HEADER_BYTES, TensorView, byte_len};
use crate::FormatError;
use crate::aside::AsideFile;

/// What will be in a file, before the numbers are at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorLayout {
    /// Name of the tensor.
    pub name: String,
    /// Type of its numbers.
    pub dtype: Dtype,
    /// Its sizes, outermost first.
    pub shape: Vec<usize>,
}

/// Writes `tensors` to `path`, whole or not at all. The bytes depend on names, numbers and `metadata`, not on their order.
pub fn write_tensors(
    path: &Path,
    tensors: &[(String, TensorView<'_>)],
    metadata: &[(&str, &str)],
) -> Result<(), FormatError> {
    let layout: Vec<_> = tensors.iter().map(|(name, view)| TensorLayout::of(name, view)).collect();
    let mut writer = TensorWriter::create(path, &layout, metadata)?;
    for (name, view) in tensors {
        writer.write(name, view.bytes)?;
    }
    writer.finish()
}

impl TensorLayout {
    /// The layout of a tensor that is at hand.
    pub fn of(name: &str, view: &TensorView<'_>) -> Self {
        Self { name: name.to_owned(), dtype: view.dtype, shape: view.shape.to_vec() }
    }

    /// The layout of a single-precision tensor.
    pub fn f32(name: &str, shape: &[usize]) -> Self {
        Self { name: name.to_owned(), dtype: Dtype::F32, shape: shape.to_vec() }
    }

    /// Size of its numbers in bytes.
    pub(crate) fn bytes(&self, path: &Path) -> Result<usize, FormatError> {
        byte_len(self.dtype, &self.shape).ok_or_else(|| FormatError::Tensor {
            path: path.to_owned(),
            tensor: self.name.clone(),
            expected: "a shape that fits into memory".into(),
            got: format!("{:?} of {:?}", self.shape, self.dtype),
        })
    }
}

/// A safetensors file under way: all names and shapes are known, the numbers come one tensor at a time.
///
/// ```no_run
/// # use inkstone_formats::safetensors::{TensorLayout, TensorWriter, f32_bytes};
/// # fn main() -> Result<(), inkstone_formats::FormatError> {
/// let layout = [TensorLayout::f32("a", &[2]), TensorLayout::f32("b", &[1])];
/// let mut writer = TensorWriter::create("moments.safetensors".as_ref(), &layout, &[])?;
/// writer.write("b", f32_bytes(&[3.0]))?;
/// writer.write("a", f32_bytes(&[1.0, 2.0]))?;
/// writer.finish()
/// # }
/// ```
pub struct TensorWriter {
    aside: AsideFile,
    data_start: u64,
    /// Range of each tensor that has not been written yet, from `data_start`.
    missing: BTreeMap<String, (usize, usize)>,
}

impl TensorWriter {
    /// Begins the file that will be `path`. The order of `layout` does not matter; a name that comes twice is an error.
    pub fn create(path: &Path, layout: &[TensorLayout], metadata: &[(&str, &str)]) -> Result<Self, FormatError> {
        let placed = place(path, layout)?;
        let missing = placed.iter().map(|(name, info)| (name.clone(), info.data_offsets)).collect();
        let header = header_bytes(path, placed, metadata)?;
        let mut aside = AsideFile::create(path)?;
        let length = (header.len() as u64).to_le_bytes();
        let file = aside.file();
        file.write_all(&length).and_then(|()| file.write_all(&header)).map_err(FormatError::io(path, "write"))?;
        Ok(Self { aside, data_start: 8 + header.len() as u64, missing })
    }

    /// Writes one tensor, row-major and little-endian.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        let Some((begin, end)) = self.missing.remove(name) else {
            return Err(self.misfit(name, "a tensor of the layout, once", "an unknown or repeated name"));
        };
        if bytes.len() != end - begin {
            return Err(self.misfit(name, &format!("{} bytes", end - begin), &format!("{} bytes", bytes.len())));
        }
        let place = SeekFrom::Start(self.data_start + begin as u64);
        let file = self.aside.file();
        let written = file.seek(place).and_then(|_| file.write_all(bytes));
        written.map_err(FormatError::io(self.aside.path(), "write"))
    }

    /// Puts the file in its place. A tensor that was never written is an error.
    pub fn finish(self) -> Result<(), FormatError> {
        match self.missing.keys().next() {
            Some(name) => Err(self.misfit(name, "its numbers", "none")),
            None => self.aside.finish(),
        }
    }

    fn misfit(&self, tensor: &str, expected: &str, got: &str) -> FormatError {
        FormatError::Tensor {
            path: self.aside.path().to_owned(),
            tensor: tensor.to_owned(),
            expected: expected.to_owned(),
            got: got.to_owned(),
        }
    }
}

/// Offsets of the tensors: widest numbers first, so that all are aligned, then by name.
fn place(path: &Path, layout: &[TensorLayout]) -> Result<Vec<(String, TensorInfo)>, FormatError> {
    let mut sorted: Vec<&TensorLayout> = layout.iter().collect();
    sorted.sort_by(|a, b| b.dtype.cmp(&a.dtype).then_with(|| a.name.cmp(&b.name)));
    refuse_names(path, layout)?;
    let mut placed = Vec::with_capacity(sorted.len());
    let mut begin = 0_usize;
    for tensor in sorted {
        let end = begin.saturating_add(tensor.bytes(path)?);
        let info = TensorInfo { dtype: tensor.dtype, shape: tensor.shape.clone(), data_offsets: (begin, end) };
        placed.push((tensor.name.clone(), info));
        begin = end;
    }
    Ok(placed)
}

fn refuse_names(path: &Path, layout: &[TensorLayout]) -> Result<(), FormatError> {
    let mut names: Vec<&str> = layout.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    let repeated = names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    match repeated.or_else(|| names.into_iter().find(|&name| name == "__metadata__")) {
        None => Ok(()),
        Some(name) => Err(FormatError::Tensor {
            path: path.to_owned(),
            tensor: name.to_owned(),
            expected: "each name once, and not the reserved one".into(),
            got: "it again".into(),
        }),
    }
}

/// The JSON header, padded so that the numbers begin at a multiple of eight.
fn header_bytes(
    path: &Path,
    placed: Vec<(String, TensorInfo)>,
    metadata: &[(&str, &str)],
) -> Result<Vec<u8>, FormatError> {
    let bad = |detail: String| FormatError::Header { path: path.to_owned(), detail };
    let checked = Metadata::new(None, placed.clone()).map_err(|error| bad(error.to_string()))?;
    drop(checked);
    let mut entries = serde_json::Map::new();
    if !metadata.is_empty() {
        let sorted: BTreeMap<_, _> = metadata.iter().copied().collect();
        entries.insert("__metadata__".into(), serde_json::json!(sorted));
    }
    for (name, info) in placed {
        entries.insert(name, serde_json::to_value(info).map_err(|error| bad(error.to_string()))?);
    }
    let mut header = serde_json::to_vec(&entries).map_err(|error| bad(error.to_string()))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let got = header.len() as u64;
    if got > MAX_HEADER_BYTES {
        let what = "the safetensors header";
        return Err(FormatError::TooLarge { path: path.to_owned(), what, limit: MAX_HEADER_BYTES, got });
    }
    Ok(header)
}
