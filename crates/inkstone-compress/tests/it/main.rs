//! Folders to files and back, and what quantisation costs.
#![allow(clippy::unwrap_used, reason = "tests")]

mod gguf;
mod methods;

use std::path::{Path, PathBuf};

use inkstone_compress::gguf::{Export, GgufModel, export};
use inkstone_compress::quantise::{Method, Target};
use inkstone_formats::hf::ModelFolder;
use inkstone_models::{Model, NoObserver, Pass};
use inkstone_nn::{Precision, device};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// The file that a folder becomes, read again.
fn through_a_file(folder: &Path, target: Target, method: &Method) -> GgufModel {
    let folder = ModelFolder::open(folder).unwrap();
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("model.gguf");
    export(&Export { folder: &folder, tokenizer: None, target, method }, &path, &mut |_, _| {}).unwrap();
    GgufModel::open(&path).unwrap()
}

fn load(folder: &Path) -> Model {
    Model::load(folder, Precision::F32, &device()).unwrap()
}

fn logits(model: &Model, ids: &[u32]) -> Vec<f32> {
    let mut observer = NoObserver;
    let logits = model.forward(ids, 1, &mut Pass::new(&mut observer));
    logits.into_data_as::<f32>().try_to_vec::<f32>().unwrap()
}

/// A folder with a LLaMA-style model with drawn weights.
fn drawn(width: usize) -> tempfile::TempDir {
    let config: Value = json!({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 96, "hidden_size": width, "intermediate_size": 2 * width,
        "num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true, "rope_theta": 500.0, "initializer_range": 0.1,
    });
    let folder = tempfile::tempdir().unwrap();
    Model::init(&config, 3, Precision::F32, &device()).unwrap().save(folder.path()).unwrap();
    folder
}
