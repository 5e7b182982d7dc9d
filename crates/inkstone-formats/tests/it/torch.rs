//! Files of PyTorch 2.15 (`fixtures/scripts/torch_files.py`), and what is refused.

use std::path::PathBuf;

use inkstone_formats::hf::ModelFolder;
use inkstone_formats::safetensors::TensorFile;
use inkstone_formats::torch::TorchFile;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/torch")).join(name)
}

#[track_caller]
fn refused(name: &str, part: &str) {
    let error = TorchFile::open(&fixture(name)).unwrap_err().to_string();
    assert!(error.contains(name) && error.contains(part), "{error}");
}

#[test]
fn a_pickle_holds_what_pytorch_put_into_it() {
    let expected = TensorFile::open(&fixture("weights.safetensors")).unwrap();
    for name in ["weights.bin", "nested.pt"] {
        let file = TorchFile::open(&fixture(name)).unwrap();
        assert!(file.names().eq(expected.names()), "{:?}", file.names().collect::<Vec<_>>());
        for (tensor, expected) in expected.tensors() {
            assert_eq!(file.tensor(tensor).unwrap(), expected, "{name}: {tensor}");
        }
        assert_eq!(file.f32("brain").unwrap(), expected.f32("brain").unwrap());
    }
}

#[test]
fn a_pickle_with_code_in_it_is_refused_by_name() {
    refused("code.bin", "system, which is not data");
}

#[test]
fn other_layouts_are_refused_with_the_reason() {
    refused("strided.bin", "tensor `weight`: its strides are");
    refused("legacy.bin", "no zip archive of PyTorch 1.6 or later");
}

#[test]
fn a_model_folder_may_hold_a_pickle() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    std::fs::copy(fixture("weights.bin"), folder.path().join("pytorch_model.bin")).unwrap();
    let model = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(model.names().len(), 7);
    assert_eq!(model.tensor("wte.weight").unwrap().shape, [5, 2]);
    let index = r#"{"weight_map": {"scale": "one.bin", "rest": "one.bin"}}"#;
    std::fs::rename(folder.path().join("pytorch_model.bin"), folder.path().join("one.bin")).unwrap();
    std::fs::write(folder.path().join("pytorch_model.bin.index.json"), index).unwrap();
    let model = ModelFolder::open(folder.path()).unwrap();
    assert_eq!(model.f32("scale").unwrap(), [2.5]);
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let good = std::fs::read(fixture("weights.bin")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged.bin");
    for n in 0..good.len().min(1500) {
        let mut bytes = good.clone();
        bytes[n] = bytes[n].wrapping_add(1 + (n % 255) as u8);
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(file) = TorchFile::open(&path) {
            file.names().for_each(|name| drop(file.f32(name)));
        }
        std::fs::write(&path, &good[..n]).unwrap();
        assert!(TorchFile::open(&path).is_err());
    }
}
