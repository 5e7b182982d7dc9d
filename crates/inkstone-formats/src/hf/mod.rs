//! The model folder that `transformers` and everything around it reads: `config.json`, `generation_config.json`, and the
//! weights as `model.safetensors` or as shards with `model.safetensors.index.json`.

mod index;
mod read;
mod write;

pub use read::ModelFolder;
pub use write::{ModelPlan, ModelWriter, write_model};

/// The largest JSON file that is read from a model folder, in bytes. The index of a model with a million tensors has 100 MB.
pub const MAX_JSON_BYTES: u64 = 128 << 20;

/// The size past which `transformers` begins another shard, in bytes.
pub const DEFAULT_SHARD_BYTES: u64 = 5_000_000_000;

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const TORCH_WEIGHTS: &str = "pytorch_model.bin";
const TORCH_INDEX: &str = "pytorch_model.bin.index.json";
