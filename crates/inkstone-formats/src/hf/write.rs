//! Writing a model folder, one tensor at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{CONFIG, DEFAULT_SHARD_BYTES, GENERATION_CONFIG, INDEX, WEIGHTS};
use crate::safetensors::{PT_FORMAT, TensorLayout, TensorView, TensorWriter};
use crate::{FormatError, aside};

/// What will be in a model folder, before the numbers are at hand.
#[derive(Debug, Clone)]
pub struct ModelPlan<'a> {
    /// Content of `config.json`.
    pub config: &'a Value,
    /// Content of `generation_config.json`, where there is to be one.
    pub generation_config: Option<&'a Value>,
    /// All tensors.
    pub tensors: &'a [TensorLayout],
    /// No file of weights gets larger than this, unless a single tensor is.
    pub max_shard_bytes: u64,
}

impl<'a> ModelPlan<'a> {
    /// A plan with shards of the usual size and no generation config.
    pub fn new(config: &'a Value, tensors: &'a [TensorLayout]) -> Self {
        Self { config, generation_config: None, tensors, max_shard_bytes: DEFAULT_SHARD_BYTES }
    }
}

/// Writes `tensors` and the configs into `folder`, which is made if need be. See [`ModelWriter`].
pub fn write_model(
    folder: &Path,
    config: &Value,
    generation_config: Option<&Value>,
    tensors: &[(String, TensorView<'_>)],
    max_shard_bytes: u64,
) -> Result<(), FormatError> {
    let layout: Vec<_> = tensors.iter().map(|(name, view)| TensorLayout::of(name, view)).collect();
    let plan = ModelPlan { config, generation_config, tensors: &layout, max_shard_bytes };
    let mut writer = ModelWriter::create(folder, &plan)?;
    for (name, view) in tensors {
        writer.write(name, view.bytes)?;
    }
    writer.finish()
}

/// A model folder under way: the configs and all names and shapes are known, the numbers come one tensor at a time, in any
/// order. Bytes depend on the plan and the numbers only.
pub struct ModelWriter {
    folder: PathBuf,
    shards: Vec<TensorWriter>,
    /// Index into `shards` of every tensor.
    places: BTreeMap<String, usize>,
    total_bytes: u64,
}

impl ModelWriter {
    /// Makes `folder` if need be, writes the configs and begins the weights.
    pub fn create(folder: &Path, plan: &ModelPlan<'_>) -> Result<Self, FormatError> {
        std::fs::create_dir_all(folder).map_err(FormatError::io(folder, "create"))?;
        write_json(&folder.join(CONFIG), plan.config)?;
        if let Some(generation_config) = plan.generation_config {
            write_json(&folder.join(GENERATION_CONFIG), generation_config)?;
        }
        let (groups, total_bytes) = shards(folder, plan)?;
        let mut places = BTreeMap::new();
        let mut writers = Vec::with_capacity(groups.len());
        for (number, group) in groups.iter().enumerate() {
            let path = folder.join(shard_name(number, groups.len()));
            writers.push(TensorWriter::create(&path, group, &[PT_FORMAT])?);
            places.extend(group.iter().map(|tensor| (tensor.name.clone(), number)));
        }
        Ok(Self { folder: folder.to_owned(), shards: writers, places, total_bytes })
    }

    /// Writes one tensor, row-major and little-endian.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), FormatError> {
        match self.places.get(name) {
            Some(&shard) => self.shards[shard].write(name, bytes),
            None => Err(FormatError::Tensor {
                path: self.folder.clone(),
                tensor: name.to_owned(),
                expected: "a tensor of the plan".into(),
                got: "an unknown name".into(),
            }),
        }
    }

    /// Puts the weights in their place. What the folder held under the other layout (one file, or an index) is removed, so
    /// that no reader finds old weights.
    pub fn finish(self) -> Result<(), FormatError> {
        let Self { folder, shards, places, total_bytes } = self;
        let count = shards.len();
        for shard in shards {
            shard.finish()?;
        }
        if count == 1 {
            return remove(&folder.join(INDEX));
        }
        let map: Map<String, Value> =
            places.into_iter().map(|(name, shard)| (name, shard_name(shard, count).into())).collect();
        write_json(&folder.join(INDEX), &json!({"metadata": {"total_size": total_bytes}, "weight_map": map}))?;
        remove(&folder.join(WEIGHTS))
    }
}

/// Tensors by file: in the order of their names, a new file when the next tensor would not fit.
fn shards(folder: &Path, plan: &ModelPlan<'_>) -> Result<(Vec<Vec<TensorLayout>>, u64), FormatError> {
    let mut sorted: Vec<&TensorLayout> = plan.tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let (mut groups, mut filled, mut total) = (vec![Vec::new()], 0_u64, 0_u64);
    for tensor in sorted {
        let bytes = tensor.bytes(folder)? as u64;
        let full = filled.saturating_add(bytes) > plan.max_shard_bytes;
        if full && groups.last().is_some_and(|group| !group.is_empty()) {
            groups.push(Vec::new());
            filled = 0;
        }
        if let Some(group) = groups.last_mut() {
            group.push(tensor.clone());
        }
        filled = filled.saturating_add(bytes);
        total = total.saturating_add(bytes);
    }
    Ok((groups, total))
}

fn shard_name(number: usize, count: usize) -> String {
    if count == 1 { WEIGHTS.to_owned() } else { format!("model-{:05}-of-{count:05}.safetensors", number + 1) }
}

fn write_json(path: &Path, value: &Value) -> Result<(), FormatError> {
    aside::write(path, format!("{value:#}\n").as_bytes())
}

fn remove(path: &Path) -> Result<(), FormatError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FormatError::io(path, "remove")(error)),
        _ => Ok(()),
    }
}
