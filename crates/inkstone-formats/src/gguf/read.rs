//! Reading: map, check everything, hand out slices.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::{
    ALIGNMENT, DEFAULT_ALIGNMENT, GgmlType, GgufArray, GgufValue, MAGIC, MAX_AXES, MAX_NAME_BYTES, VERSION, split,
    wrong,
};
use crate::FormatError;
use crate::safetensors::{map_file, not_found};

/// Arrays in arrays at most.
const MAX_NESTING: usize = 3;

/// An open GGUF file, or one in parts: everything before the tensors read and checked, the tensors mapped and read from disk only when touched.
#[derive(Debug)]
pub struct GgufFile {
    path: PathBuf,
    maps: Vec<Mmap>,
    metadata: BTreeMap<String, GgufValue>,
    tensors: BTreeMap<String, Tensor>,
}

#[derive(Debug)]
struct Tensor {
    kind: GgmlType,
    /// Outermost first.
    shape: Vec<usize>,
    /// Which part holds it.
    part: usize,
    begin: usize,
    end: usize,
}

/// A tensor of a [`GgufFile`].
#[derive(Debug, Clone, Copy)]
pub struct GgufTensor<'a> {
    /// Its type.
    pub kind: GgmlType,
    /// Sizes, outermost first.
    pub shape: &'a [usize],
    /// Its blocks, row after row.
    pub bytes: &'a [u8],
}

impl GgufFile {
    /// Opens and checks `path`, and where it is the first of several parts, all of them. After this, no tensor can be out of range.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let mut whole = Self::open_one(path)?;
        for path in split::others(&whole)? {
            let part = Self::open_one(&path)?;
            split::expect_part(&part, whole.maps.len() as u64, &whole)?;
            whole.join(part)?;
        }
        Ok(whole)
    }

    fn join(&mut self, part: Self) -> Result<(), FormatError> {
        for (name, tensor) in part.tensors {
            if self.tensors.contains_key(&name) {
                return Err(wrong(&part.path, 0, format!("the tensor `{name}` is in another part, too")));
            }
            self.tensors.insert(name, Tensor { part: self.maps.len(), ..tensor });
        }
        self.maps.extend(part.maps);
        Ok(())
    }

    fn open_one(path: &Path) -> Result<Self, FormatError> {
        let file = File::open(path).map_err(FormatError::io(path, "open"))?;
        let size = file.metadata().map_err(FormatError::io(path, "stat"))?.len();
        if size < 24 {
            return Err(FormatError::Length { path: path.to_owned(), expected: 24, got: size });
        }
        let map = map_file(&file).map_err(FormatError::io(path, "map"))?;
        let mut cursor = Cursor { path, bytes: &map, at: 0 };
        let (n_tensors, n_entries) = cursor.head()?;
        let metadata = cursor.metadata(n_entries)?;
        let tensors = cursor.tensors(n_tensors, &metadata)?;
        Ok(Self { path: path.to_owned(), metadata, tensors, maps: vec![map] })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The metadata, sorted.
    pub fn metadata(&self) -> &BTreeMap<String, GgufValue> {
        &self.metadata
    }

    /// The entry called `key`.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.get(key)
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
    pub fn tensor(&self, name: &str) -> Result<GgufTensor<'_>, FormatError> {
        let tensor = self.tensors.get(name).ok_or_else(|| not_found(&self.path, name, self.names()))?;
        let Tensor { kind, ref shape, part, begin, end } = *tensor;
        Ok(GgufTensor { kind, shape, bytes: &self.maps[part][begin..end] })
    }
}

impl GgufTensor<'_> {
    /// The numbers of a tensor of F32, F16 or BF16 in single precision; nothing of any other.
    pub fn plain(&self) -> Option<Vec<f32>> {
        let pairs = || self.bytes.as_chunks::<2>().0.iter();
        match self.kind {
            GgmlType::F32 => Some(self.bytes.as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect()),
            GgmlType::F16 => Some(pairs().map(|&x| half::f16::from_le_bytes(x).to_f32()).collect()),
            GgmlType::BF16 => Some(pairs().map(|&x| half::bf16::from_le_bytes(x).to_f32()).collect()),
            _ => None,
        }
    }
}

/// Where in the file the reader stands. Nothing is allocated for what the rest of the file could not hold.
struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn wrong<T>(&self, detail: impl Into<String>) -> Result<T, FormatError> {
        Err(wrong(self.path, self.at, detail))
    }

    /// Magic, version, and how many tensors and entries there are.
    fn head(&mut self) -> Result<(u64, u64), FormatError> {
        if &self.take::<4>()? != MAGIC {
            return Err(wrong(self.path, 0, "it does not begin with `GGUF`"));
        }
        let version = self.u32()?;
        if version != 2 && version != VERSION {
            return self.wrong(format!("version {version}, expected 2 or 3, little-endian"));
        }
        Ok((self.u64()?, self.u64()?))
    }

    fn metadata(&mut self, n: u64) -> Result<BTreeMap<String, GgufValue>, FormatError> {
        // A key has a length, a type, and a value of a byte at least.
        let n = self.count(n, 13, "entries")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..n {
            let key = self.string()?;
            let kind = self.u32()?;
            let value = self.value(kind, 0)?;
            if metadata.contains_key(&key) {
                return self.wrong(format!("the entry `{key}` comes twice"));
            }
            metadata.insert(key, value);
        }
        Ok(metadata)
    }

    fn tensors(
        &mut self,
        n: u64,
        metadata: &BTreeMap<String, GgufValue>,
    ) -> Result<BTreeMap<String, Tensor>, FormatError> {
        let alignment = metadata.get(ALIGNMENT).map_or(Some(DEFAULT_ALIGNMENT), GgufValue::as_u64);
        let alignment = alignment.filter(|n| n.is_power_of_two() && (8..=1 << 20).contains(n));
        let Some(alignment) = alignment else { return self.wrong("general.alignment is no power of two from 8 on") };
        let n = self.count(n, 24, "tensors")?;
        let entries = (0..n).map(|_| self.tensor_entry()).collect::<Result<Vec<_>, _>>()?;
        let start = (self.at as u64).next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, kind, shape, offset) in entries {
            let tensor = self.place(&name, (kind, shape), (start, offset, alignment))?;
            if tensors.insert(name.clone(), tensor).is_some() {
                return self.wrong(format!("the tensor `{name}` comes twice"));
            }
        }
        Ok(tensors)
    }

    fn tensor_entry(&mut self) -> Result<(String, GgmlType, Vec<usize>, u64), FormatError> {
        let name = self.string()?;
        if name.len() > MAX_NAME_BYTES {
            return self.wrong(format!("the name of a tensor has {} bytes, at most {MAX_NAME_BYTES}", name.len()));
        }
        let axes = self.u32()? as usize;
        if axes > MAX_AXES {
            return self.wrong(format!("tensor `{name}` has {axes} axes, at most {MAX_AXES}"));
        }
        let mut shape = Vec::new();
        for _ in 0..axes {
            let size = self.u64()?;
            let Ok(size) = usize::try_from(size) else { return self.wrong(format!("tensor `{name}` is too large")) };
            shape.insert(0, size);
        }
        let (id, offset) = (self.u32()?, self.u64()?);
        match GgmlType::from_id(id) {
            Some(kind) => Ok((name, kind, shape, offset)),
            None => Err(FormatError::UnknownDtype {
                path: self.path.to_owned(),
                tensor: name,
                got: format!("ggml type {id}"),
            }),
        }
    }

    /// A tensor whose bytes are inside the file.
    fn place(
        &self,
        name: &str,
        (kind, shape): (GgmlType, Vec<usize>),
        (start, offset, alignment): (u64, u64, u64),
    ) -> Result<Tensor, FormatError> {
        let Some(bytes) = kind.bytes_of(&shape) else {
            return self.wrong(format!("tensor `{name}` of {shape:?} does not fill whole blocks of {}", kind.name));
        };
        if !offset.is_multiple_of(alignment) {
            return self.wrong(format!("tensor `{name}` begins at {offset}, no multiple of {alignment}"));
        }
        let end = start.checked_add(offset).and_then(|begin| Some((begin, begin.checked_add(bytes as u64)?)));
        match end {
            Some((begin, end)) if end <= self.bytes.len() as u64 => {
                Ok(Tensor { kind, shape, part: 0, begin: begin as usize, end: end as usize })
            }
            _ => Err(FormatError::Length {
                path: self.path.to_owned(),
                expected: end.map_or(u64::MAX, |(_, end)| end),
                got: self.bytes.len() as u64,
            }),
        }
    }

    fn value(&mut self, kind: u32, nesting: usize) -> Result<GgufValue, FormatError> {
        Ok(match kind {
            0 => GgufValue::U8(u8::from_le_bytes(self.take()?)),
            1 => GgufValue::I8(i8::from_le_bytes(self.take()?)),
            2 => GgufValue::U16(u16::from_le_bytes(self.take()?)),
            3 => GgufValue::I16(i16::from_le_bytes(self.take()?)),
            4 => GgufValue::U32(self.u32()?),
            5 => GgufValue::I32(i32::from_le_bytes(self.take()?)),
            6 => GgufValue::F32(f32::from_le_bytes(self.take()?)),
            7 => GgufValue::Bool(self.take::<1>()? != [0]),
            8 => GgufValue::String(self.string()?),
            9 => GgufValue::Array(self.array(nesting)?),
            10 => GgufValue::U64(self.u64()?),
            11 => GgufValue::I64(i64::from_le_bytes(self.take()?)),
            12 => GgufValue::F64(f64::from_le_bytes(self.take()?)),
            _ => return self.wrong(format!("a value of the unknown type {kind}")),
        })
    }

    fn array(&mut self, nesting: usize) -> Result<GgufArray, FormatError> {
        if nesting == MAX_NESTING {
            return self.wrong("arrays in arrays in arrays");
        }
        let (kind, n) = (self.u32()?, self.u64()?);
        let least = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            _ => 8,
        };
        let n = self.count(n, least, "values")?;
        let values = (0..n).map(|_| self.value(kind, nesting + 1)).collect::<Result<_, _>>()?;
        Ok(GgufArray { kind, values })
    }

    fn string(&mut self) -> Result<String, FormatError> {
        let length = self.u64()?;
        let length = self.count(length, 1, "bytes of a string")?;
        let bytes = &self.bytes[self.at..self.at + length];
        // Tables of tokens from elsewhere hold halves of characters.
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.at += length;
        Ok(text)
    }

    /// `n`, unless so many things of `least` bytes each could not be in the rest of the file.
    fn count(&self, n: u64, least: u64, what: &str) -> Result<usize, FormatError> {
        let left = (self.bytes.len() - self.at) as u64;
        if n > left / least {
            return self.wrong(format!("{n} {what} are said to follow, and the file has {left} bytes more"));
        }
        Ok(n as usize)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some(bytes) = self.bytes[self.at..].first_chunk::<N>() else {
            return self.wrong("the file ends in its head");
        };
        self.at += N;
        Ok(*bytes)
    }
}
