//! Reading: map, check the header, hand out slices, or read numbers without touching the map: pages of a map that were looked at count as
//! memory of the program, as if the file were held twice.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ::safetensors::Dtype;
use ::safetensors::tensor::{Metadata, TensorInfo};
use memmap2::Mmap;
use serde_json::Value;

use super::{MAX_HEADER_BYTES, TensorRef, f32_bytes_mut};
use crate::FormatError;

/// An open safetensors file: header checked, numbers mapped and read from disk only when touched.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    /// Whoever holds it may move its place.
    file: Mutex<File>,
    map: Mmap,
    data_start: usize,
    tensors: BTreeMap<String, TensorInfo>,
    metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Opens and checks `path`. After this, no tensor of the file can be out of range.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let mut file = File::open(path).map_err(FormatError::io(path, "open"))?;
        let header_len = read_header_len(path, &mut file)?;
        let map = map_file(&file).map_err(FormatError::io(path, "map"))?;
        let data_start = 8 + header_len;
        let Some(header) = map.get(8..data_start) else {
            return Err(FormatError::Length {
                path: path.to_owned(),
                expected: data_start as u64,
                got: map.len() as u64,
            });
        };
        let header = parse_header(path, header)?;
        let expected = (data_start + header.data_len()) as u64;
        if expected != map.len() as u64 {
            return Err(FormatError::Length { path: path.to_owned(), expected, got: map.len() as u64 });
        }
        let metadata = header.metadata().iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
        let tensors = header.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), map, data_start, tensors, metadata })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// What `__metadata__` says.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Result<TensorRef<'_>, FormatError> {
        let info = self.tensors.get(name).ok_or_else(|| not_found(&self.path, name, self.names()))?;
        Ok(self.view(info))
    }

    /// The numbers of the tensor called `name` in single precision; an error unless they are F32, BF16 or F16. What is read this way
    /// takes no memory beside them.
    pub fn f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let info = self.tensors.get(name).ok_or_else(|| not_found(&self.path, name, self.names()))?;
        let n = info.shape.iter().product();
        let begin = (self.data_start + info.data_offsets.0) as u64;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let read = file.seek(SeekFrom::Start(begin)).and_then(|_| read_f32(&mut *file, info.dtype, n));
        read.map_err(FormatError::io(&self.path, "read"))?.ok_or_else(|| FormatError::Tensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            expected: "dtype F32, BF16 or F16".into(),
            got: format!("{:?}", info.dtype),
        })
    }

    /// Whether there is a tensor called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// All tensors, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, TensorRef<'_>)> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), self.view(info)))
    }

    fn view<'a>(&'a self, info: &'a TensorInfo) -> TensorRef<'a> {
        let (begin, end) = info.data_offsets;
        let bytes = &self.map[self.data_start + begin..self.data_start + end];
        TensorRef { dtype: info.dtype, shape: &info.shape, bytes }
    }
}

/// The numbers of an F32, BF16 or F16 tensor in single precision (exact in all three cases); of any other type an error.
pub fn to_f32(tensor: &TensorRef<'_>) -> Result<Vec<f32>, FormatError> {
    match tensor.dtype {
        Dtype::F32 => Ok(convert(tensor.bytes, f32::from_le_bytes)),
        Dtype::BF16 => Ok(convert(tensor.bytes, |bytes| half::bf16::from_le_bytes(bytes).to_f32())),
        Dtype::F16 => Ok(convert(tensor.bytes, |bytes| half::f16::from_le_bytes(bytes).to_f32())),
        got => Err(FormatError::Dtype { got }),
    }
}

/// Numbers of half the width that are read at a time.
const CHUNK: usize = 1 << 16;

/// The next `n` numbers of a file; nothing where they are of another type than F32, BF16 or F16.
fn read_f32(file: &mut impl Read, dtype: Dtype, n: usize) -> std::io::Result<Option<Vec<f32>>> {
    match dtype {
        Dtype::F32 => {
            let mut values = vec![0.0; n];
            file.read_exact(f32_bytes_mut(&mut values))?;
            Ok(Some(values))
        }
        Dtype::BF16 => read_halves(file, n, |bytes| half::bf16::from_le_bytes(bytes).to_f32()).map(Some),
        Dtype::F16 => read_halves(file, n, |bytes| half::f16::from_le_bytes(bytes).to_f32()).map(Some),
        _ => Ok(None),
    }
}

fn read_halves(file: &mut impl Read, n: usize, number: impl Fn([u8; 2]) -> f32) -> std::io::Result<Vec<f32>> {
    let (mut values, mut bytes) = (Vec::with_capacity(n), vec![0; 2 * CHUNK.min(n)]);
    while values.len() < n {
        let chunk = &mut bytes[..2 * CHUNK.min(n - values.len())];
        file.read_exact(chunk)?;
        values.extend(chunk.as_chunks::<2>().0.iter().map(|&half| number(half)));
    }
    Ok(values)
}

fn convert<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|&chunk| number(chunk)).collect()
}

/// What to say of a name that is not there.
pub(crate) fn not_found<'a>(path: &Path, name: &str, names: impl Iterator<Item = &'a str>) -> FormatError {
    let names: Vec<&str> = names.collect();
    let nearest = names.iter().max_by_key(|other| likeness(name, other)).filter(|other| likeness(name, other) > 3);
    FormatError::TensorNotFound {
        path: path.to_owned(),
        tensor: name.to_owned(),
        count: names.len(),
        nearest: nearest.map(ToString::to_string),
    }
}

/// Length of the longest common beginning or end, in bytes.
fn likeness(a: &str, b: &str) -> usize {
    let prefix = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let suffix = a.bytes().rev().zip(b.bytes().rev()).take_while(|(a, b)| a == b).count();
    prefix.max(suffix)
}

/// The first eight bytes, bounded.
fn read_header_len(path: &Path, file: &mut File) -> Result<usize, FormatError> {
    let size = file.metadata().map_err(FormatError::io(path, "stat"))?.len();
    if size < 8 {
        return Err(FormatError::Length { path: path.to_owned(), expected: 8, got: size });
    }
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(FormatError::io(path, "read"))?;
    let got = u64::from_le_bytes(length);
    if got > MAX_HEADER_BYTES {
        return Err(FormatError::TooLarge {
            path: path.to_owned(),
            what: "the safetensors header",
            limit: MAX_HEADER_BYTES,
            got,
        });
    }
    Ok(got as usize)
}

#[allow(unsafe_code, reason = "a memory map can't be made without it")]
pub(crate) fn map_file(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the map is read-only and private to this process, and all access goes through slices checked against its
    // length. What remains is that another process shortens or rewrites the file meanwhile; this program never does so
    // (files are written aside and renamed, so an open map keeps the old bytes), and the bytes are only ever taken as
    // plain numbers, for which every bit pattern is valid.
    unsafe { Mmap::map(file) }
}

fn parse_header(path: &Path, header: &[u8]) -> Result<Metadata, FormatError> {
    serde_json::from_slice(header).map_err(|error| {
        unknown_dtype(path, header)
            .unwrap_or_else(|| FormatError::Header { path: path.to_owned(), detail: error.to_string() })
    })
}

/// Looks for a dtype that nobody knows, to name its tensor.
fn unknown_dtype(path: &Path, header: &[u8]) -> Option<FormatError> {
    let Value::Object(entries) = serde_json::from_slice(header).ok()? else { return None };
    entries.iter().find_map(|(tensor, entry)| {
        let dtype = entry.get("dtype")?;
        let got = dtype.as_str()?.to_owned();
        serde_json::from_value::<Dtype>(dtype.clone()).is_err().then(|| FormatError::UnknownDtype {
            path: path.to_owned(),
            tensor: tensor.clone(),
            got,
        })
    })
}
