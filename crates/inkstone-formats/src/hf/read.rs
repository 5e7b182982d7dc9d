//! Reading a model folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::index::{read_index, read_object};
use super::{CONFIG, GENERATION_CONFIG, INDEX, TORCH_INDEX, TORCH_WEIGHTS, WEIGHTS};
use crate::FormatError;
use crate::safetensors::{TensorFile, TensorRef};
use crate::torch::TorchFile;

/// An open model folder: configs read, weights mapped and checked.
#[derive(Debug)]
pub struct ModelFolder {
    path: PathBuf,
    config: Value,
    generation_config: Option<Value>,
    files: Vec<WeightFile>,
    /// Index into `files` of every tensor.
    places: BTreeMap<String, usize>,
}

/// A file of weights, in either format.
#[derive(Debug)]
enum WeightFile {
    Safe(TensorFile),
    Torch(TorchFile),
}

impl WeightFile {
    fn open(path: &Path) -> Result<Self, FormatError> {
        let safe = path.extension().is_some_and(|extension| extension == "safetensors");
        if safe { TensorFile::open(path).map(Self::Safe) } else { TorchFile::open(path).map(Self::Torch) }
    }

    fn names(&self) -> Vec<&str> {
        match self {
            Self::Safe(file) => file.names().collect(),
            Self::Torch(file) => file.names().collect(),
        }
    }

    fn contains(&self, name: &str) -> bool {
        match self {
            Self::Safe(file) => file.contains(name),
            Self::Torch(file) => file.contains(name),
        }
    }

    fn tensor(&self, name: &str) -> Result<TensorRef<'_>, FormatError> {
        match self {
            Self::Safe(file) => file.tensor(name),
            Self::Torch(file) => file.tensor(name),
        }
    }

    fn f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        match self {
            Self::Safe(file) => file.f32(name),
            Self::Torch(file) => file.f32(name),
        }
    }
}

impl ModelFolder {
    /// Opens `path`. As in `transformers`, `model.safetensors` wins over an index of shards, and either over the pickles of
    /// PyTorch.
    pub fn open(path: &Path) -> Result<Self, FormatError> {
        let config = Self::read_config(path)?;
        let generation_config = optional(&path.join(GENERATION_CONFIG))?;
        let (files, places) = open_weights(path)?;
        Ok(Self { path: path.to_owned(), config, generation_config, files, places })
    }

    /// `config.json` alone, without looking at the weights.
    pub fn read_config(path: &Path) -> Result<Value, FormatError> {
        let config = path.join(CONFIG);
        if !config.exists() {
            return Err(FormatError::Missing { folder: path.to_owned(), expected: CONFIG });
        }
        read_object(&config)
    }

    /// Where the folder is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `config.json`, an object.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// `generation_config.json`, an object, where there is one.
    pub fn generation_config(&self) -> Option<&Value> {
        self.generation_config.as_ref()
    }

    /// The names of the tensors in all files, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Whether there is a tensor called `name`.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Result<TensorRef<'_>, FormatError> {
        self.file_of(name)?.tensor(name)
    }

    /// The numbers of the tensor called `name` in single precision; an error unless they are F32, BF16 or F16.
    pub fn f32(&self, name: &str) -> Result<Vec<f32>, FormatError> {
        self.file_of(name)?.f32(name)
    }

    /// All tensors of all files, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, TensorRef<'_>)> {
        // The index was checked against the files when the folder was opened.
        self.places.iter().filter_map(|(name, &file)| Some((name.as_str(), self.files[file].tensor(name).ok()?)))
    }

    fn file_of(&self, name: &str) -> Result<&WeightFile, FormatError> {
        match self.places.get(name) {
            Some(&file) => Ok(&self.files[file]),
            None => Err(crate::safetensors::not_found(&self.path, name, self.names())),
        }
    }
}

type Weights = (Vec<WeightFile>, BTreeMap<String, usize>);

fn open_weights(folder: &Path) -> Result<Weights, FormatError> {
    for (single, index) in [(WEIGHTS, INDEX), (TORCH_WEIGHTS, TORCH_INDEX)] {
        let (single, index) = (folder.join(single), folder.join(index));
        if single.exists() {
            let file = WeightFile::open(&single)?;
            let places = file.names().into_iter().map(|name| (name.to_owned(), 0)).collect();
            return Ok((vec![file], places));
        }
        if index.exists() {
            return open_shards(folder, &index);
        }
    }
    Err(FormatError::Missing {
        folder: folder.to_owned(),
        expected: "model.safetensors (or its index, or pytorch_model.bin)",
    })
}

fn open_shards(folder: &Path, index: &Path) -> Result<Weights, FormatError> {
    let map = read_index(index)?;
    let mut names: Vec<&String> = map.values().collect();
    names.sort();
    names.dedup();
    let files = names.iter().map(|name| WeightFile::open(&folder.join(name))).collect::<Result<Vec<_>, _>>()?;
    let mut places = BTreeMap::new();
    for (tensor, name) in &map {
        let place = names.binary_search(&name).map_err(|_| absent(index, tensor, name))?;
        if !files[place].contains(tensor) {
            return Err(absent(index, tensor, name));
        }
        places.insert(tensor.clone(), place);
    }
    Ok((files, places))
}

fn absent(index: &Path, tensor: &str, file: &str) -> FormatError {
    let reason = "that file has no tensor of this name";
    FormatError::Index { path: index.to_owned(), tensor: tensor.to_owned(), file: file.to_owned(), reason }
}

fn optional(path: &Path) -> Result<Option<Value>, FormatError> {
    if path.exists() { read_object(path).map(Some) } else { Ok(None) }
}
