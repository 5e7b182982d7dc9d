//! Weights, model folders, event files.

use std::fs;
use std::path::Path;

use inkstone_formats::gguf::GgufFile;
use inkstone_formats::hf::{ModelFolder, write_model};
use inkstone_formats::peft::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, PeftFolder};
use inkstone_formats::safetensors::{TensorFile, TensorView};
use inkstone_formats::tensorboard::{EventWriter, read_events};
use inkstone_formats::torch::TorchFile;
use serde_json::json;

use super::{Target, in_folder};

pub(crate) const SAFETENSORS: Target = Target {
    name: "safetensors",
    run: |data| {
        in_folder("model.safetensors", data, |folder| {
            if let Ok(file) = TensorFile::open(&folder.join("model.safetensors")) {
                let numbers: usize =
                    file.tensors().map(|(name, _)| file.f32(name).map_or(0, |numbers| numbers.len())).sum();
                assert!(numbers <= data.len());
            }
        });
    },
    seeds: || vec![file_of("model.safetensors", u64::MAX)],
};

pub(crate) const ADAPTER: Target = Target {
    name: "adapter",
    run: |data| {
        in_folder(ADAPTER_CONFIG, data, |folder| {
            let weights = include_bytes!("../../fixtures/peft/llama_tiny_tied_lora/adapter_model.safetensors");
            if fs::write(folder.join(ADAPTER_WEIGHTS), weights).is_ok() {
                let _ = PeftFolder::open(folder);
            }
        });
    },
    seeds: || vec![include_bytes!("../../fixtures/peft/llama_tiny_tied_lora/adapter_config.json").to_vec()],
};

pub(crate) const TORCH: Target = Target {
    name: "torch",
    run: |data| {
        in_folder("pytorch_model.bin", data, |folder| {
            if let Ok(file) = TorchFile::open(&folder.join("pytorch_model.bin")) {
                for name in file.names() {
                    let numbers = file.f32(name).map_or(0, |numbers| numbers.len());
                    assert!(numbers <= data.len());
                }
            }
        });
    },
    seeds: || vec![include_bytes!("../../fixtures/torch/weights.bin").to_vec()],
};

pub(crate) const GGUF: Target = Target {
    name: "gguf",
    run: |data| {
        in_folder("model.gguf", data, |folder| {
            if let Ok(file) = GgufFile::open(&folder.join("model.gguf")) {
                for name in file.names() {
                    let tensor = file.tensor(name).expect("a name of the file");
                    assert!(tensor.bytes.len() <= data.len());
                    drop(tensor.plain());
                }
            }
        });
    },
    seeds: || vec![include_bytes!("../../fixtures/quantised/tiny.gguf").to_vec()],
};

pub(crate) const INDEX: Target = Target {
    name: "index",
    run: |data| with_model(16, "model.safetensors.index.json", data),
    seeds: || vec![file_of("model.safetensors.index.json", 16)],
};

pub(crate) const CONFIG: Target = Target {
    name: "config",
    run: |data| with_model(u64::MAX, "config.json", data),
    seeds: || vec![file_of("config.json", u64::MAX)],
};

pub(crate) const EVENTS: Target = Target {
    name: "events",
    run: |data| {
        in_folder("events", data, |folder| {
            let path = folder.join("events");
            let log = read_events(&path).expect("damage is not an error");
            assert_eq!(log.events.len(), log.ends.len());
            drop(EventWriter::resume(&path, 5));
        });
    },
    seeds: || vec![events()],
};

fn model(folder: &Path, max_shard_bytes: u64) {
    let tensors = [
        ("model.norm.weight".to_owned(), TensorView::f32(&[2, 2], &[1.0, 2.0, 3.0, 4.0])),
        ("lm_head.weight".to_owned(), TensorView::f32(&[1], &[5.0])),
    ];
    let config =
        json!({"architectures": ["LlamaForCausalLM"], "hidden_size": 2, "rope_parameters": {"rope_theta": 10000.0}});
    write_model(folder, &config, None, &tensors, max_shard_bytes).expect("room for a small model");
}

fn file_of(name: &str, max_shard_bytes: u64) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    model(folder.path(), max_shard_bytes);
    fs::read(folder.path().join(name)).expect("a file of the model")
}

/// Opens a good model in which one file is replaced.
fn with_model(max_shard_bytes: u64, name: &str, data: &[u8]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    model(folder.path(), max_shard_bytes);
    fs::write(folder.path().join(name), data).expect("room for a small file");
    if let Ok(model) = ModelFolder::open(folder.path()) {
        assert_eq!(model.tensors().count(), model.names().len());
    }
}

fn events() -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut writer = EventWriter::create(folder.path()).expect("room for a small file");
    for step in 0..3 {
        writer.scalars(step, &[("train/loss", 2.5), ("学习率", 1e-3)]).expect("room for a small file");
    }
    writer.flush().expect("room for a small file");
    fs::read(writer.path()).expect("the file just written")
}
