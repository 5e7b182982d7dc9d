//! PyTorch's own files, `.bin` and `.pt`: a pickle of a dictionary of tensors in a zip archive (since 1.6), the numbers in
//! entries beside it. Nothing in the pickle is executed.
//!
//! Format: `torch/serialization.py` and the notes on serialization of PyTorch's documentation.

mod pickle;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::Dtype;
use zip::{CompressionMethod, ZipArchive};

use self::pickle::{Global, Id, Machine, Pickled, TensorParts, Value};
use crate::FormatError;
use crate::safetensors::{TensorRef, byte_len, map_file, not_found, to_f32};

/// The longest pickle that is read, in bytes; that of a model with a million tensors has about 150 MB.
pub const MAX_PICKLE_BYTES: u64 = 256 << 20;

/// Dictionaries in a checkpoint that may hold the weights.
const INNER: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// An open PyTorch file: pickle read, numbers mapped and read from disk only when touched.
#[derive(Debug)]
pub struct TorchFile {
    path: PathBuf,
    map: Mmap,
    tensors: BTreeMap<String, Place>,
}

/// Where a tensor's numbers are, row-major.
#[derive(Debug)]
struct Place {
    dtype: Dtype,
    shape: Vec<usize>,
    begin: usize,
    end: usize,
}

impl TorchFile {
    /// Opens and checks `path`. After this, no tensor of the file can be out of range.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let file = File::open(path).map_err(FormatError::io(path, "open"))?;
        let map = map_file(&file).map_err(FormatError::io(path, "map"))?;
        let refuse = |detail: String| FormatError::Torch { path: path.to_owned(), detail };
        let mut archive = ZipArchive::new(file)
            .map_err(|error| refuse(format!("no zip archive of PyTorch 1.6 or later: {error}")))?;
        let is_pickle = |name: &String| name == "data.pkl" || name.ends_with("/data.pkl");
        let pickle = archive.file_names().flatten().map(std::borrow::Cow::into_owned).find(is_pickle);
        let pickle = pickle.ok_or_else(|| refuse("the archive has no data.pkl".into()))?;
        let bytes = read_entry(&mut archive, &pickle).map_err(refuse)?;
        let (pickled, _) = Machine::run(&bytes).map_err(refuse)?;
        let folder = pickle.strip_suffix("data.pkl").unwrap_or_default();
        let tensors = places(&pickled, folder, &mut archive, map.len()).map_err(refuse)?;
        Ok(Self { path: path.to_owned(), map, tensors })
    }

    /// The names of the tensors, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Whether there is a tensor called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Result<TensorRef<'_>, FormatError> {
        let place = self.tensors.get(name).ok_or_else(|| not_found(&self.path, name, self.names()))?;
        Ok(TensorRef { dtype: place.dtype, shape: &place.shape, bytes: &self.map[place.begin..place.end] })
    }

    /// The numbers of the tensor called `name` in single precision; an error unless they are F32, BF16 or F16.
    pub fn f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        let tensor = self.tensor(name)?;
        to_f32(&tensor).map_err(|_| FormatError::Tensor {
            path: self.path.clone(),
            tensor: name.to_owned(),
            expected: "dtype F32, BF16 or F16".into(),
            got: format!("{:?}", tensor.dtype),
        })
    }
}

fn read_entry(archive: &mut ZipArchive<File>, name: &str) -> Result<Vec<u8>, String> {
    let entry = archive.by_name(name).map_err(|error| format!("{name}: {error}"))?;
    if entry.compression() != CompressionMethod::Stored {
        return Err(format!("{name} is compressed, which PyTorch never does"));
    }
    let mut bytes = Vec::new();
    entry.take(MAX_PICKLE_BYTES + 1).read_to_end(&mut bytes).map_err(|error| format!("{name}: {error}"))?;
    if bytes.len() as u64 > MAX_PICKLE_BYTES {
        return Err(format!("{name} has more than {MAX_PICKLE_BYTES} bytes"));
    }
    Ok(bytes)
}

/// The place of every tensor of the dictionary, or of the one in it that holds the weights.
fn places(
    pickled: &Pickled,
    folder: &str,
    archive: &mut ZipArchive<File>,
    length: usize,
) -> Result<BTreeMap<String, Place>, String> {
    let mut entries = dictionary(pickled, pickled.root)?;
    let inner = entries.iter().find(|(key, _)| pickled.text(*key).is_some_and(|key| INNER.contains(&key)));
    if let Some(&(_, inner)) = inner
        && let Ok(found) = dictionary(pickled, inner)
    {
        entries = found;
    }
    let mut found = BTreeMap::new();
    for &(key, value) in entries {
        let (Some(name), Value::Tensor(parts)) = (pickled.text(key), pickled.get(value)) else { continue };
        let place = place(pickled, parts, folder, archive).map_err(|what| format!("tensor `{name}`: {what}"))?;
        if place.end > length {
            return Err(format!("tensor `{name}` ends at byte {} of {length}", place.end));
        }
        found.insert(name.to_owned(), place);
    }
    Ok(found)
}

fn dictionary(pickled: &Pickled, id: Id) -> Result<&Vec<(Id, Id)>, String> {
    match pickled.get(id) {
        Value::Dict(entries) => Ok(entries),
        _ => Err("it holds no dictionary of tensors".into()),
    }
}

fn place(
    pickled: &Pickled,
    parts: &TensorParts,
    folder: &str,
    archive: &mut ZipArchive<File>,
) -> Result<Place, String> {
    let (dtype, key) = storage(pickled, parts.storage).ok_or("its storage is described in an unknown way")?;
    let shape = pickled.sizes(parts.shape).ok_or("its shape is no list of sizes")?;
    let strides = pickled.sizes(parts.strides).ok_or("its strides are no list of sizes")?;
    let offset = pickled.size(parts.offset).ok_or("its offset is no size")?;
    let bytes = byte_len(dtype, &shape).ok_or("its shape is too large")?;
    if bytes > 0 && !is_row_major(&shape, &strides) {
        return Err(format!("its strides are {strides:?}, expected those of a row-major {shape:?}"));
    }
    let name = format!("{folder}data/{key}");
    let entry = archive.by_name(&name).map_err(|error| format!("{name}: {error}"))?;
    if entry.compression() != CompressionMethod::Stored {
        return Err(format!("{name} is compressed, which PyTorch never does"));
    }
    let skipped = offset.checked_mul(dtype.bitsize() / 8).ok_or("its offset is too large")?;
    let end = skipped.checked_add(bytes).filter(|&end| end as u64 <= entry.size());
    let end = end.ok_or_else(|| format!("it needs more than the {} bytes of its storage", entry.size()))?;
    let start = entry.data_start().and_then(|start| usize::try_from(start).ok());
    let start = start.ok_or("its storage begins nowhere")?;
    let within = |at: usize| start.checked_add(at).ok_or("its storage ends too far behind");
    Ok(Place { dtype, shape, begin: within(skipped)?, end: within(end)? })
}

/// Type and key of the storage that the persistent id `("storage", class, key, location, size)` names.
fn storage(pickled: &Pickled, id: Id) -> Option<(Dtype, &str)> {
    let Value::Persistent(inner) = pickled.get(id) else { return None };
    let Value::Tuple(parts) = pickled.get(*inner) else { return None };
    let &[kind, class, key, ..] = parts.as_slice() else { return None };
    let (Some("storage"), Value::Global(Global::Storage(dtype))) = (pickled.text(kind), pickled.get(class)) else {
        return None;
    };
    let key =
        pickled.text(key).filter(|key| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric()))?;
    Some((*dtype, key))
}

fn is_row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = 1_usize;
    shape.len() == strides.len()
        && shape.iter().zip(strides).rev().all(|(&size, &stride)| {
            let right = size == 1 || stride == expected;
            expected = expected.saturating_mul(size);
            right
        })
}
