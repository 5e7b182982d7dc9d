//! Model folders.

use std::fs;
use std::path::Path;

use inkstone_formats::FormatError;
use inkstone_formats::hf::{DEFAULT_SHARD_BYTES, ModelFolder, ModelPlan, ModelWriter, write_model};
use inkstone_formats::safetensors::{TensorFile, TensorLayout, TensorView, f32_bytes};
use serde_json::{Value, json};
use tempfile::{TempDir, tempdir};

const NUMBERS: [f32; 6] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];

fn tensors() -> Vec<(String, TensorView<'static>)> {
    vec![
        ("c".into(), TensorView::f32(&[2, 3], &NUMBERS)),
        ("a".into(), TensorView::f32(&[4], NUMBERS.first_chunk::<4>().unwrap())),
        ("b".into(), TensorView::f32(&[2], &[7.0, 8.0])),
    ]
}

fn written(max_shard_bytes: u64) -> TempDir {
    let folder = tempdir().unwrap();
    let config = json!({"z": 1, "model_type": "llama", "a": 2});
    write_model(folder.path(), &config, Some(&json!({"eos_token_id": [1, 2]})), &tensors(), max_shard_bytes).unwrap();
    folder
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn check(folder: &Path) {
    let model = ModelFolder::open(folder).unwrap();
    assert_eq!(model.config()["model_type"], "llama");
    assert_eq!(model.generation_config().unwrap()["eos_token_id"], json!([1, 2]));
    assert_eq!(model.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(model.f32("c").unwrap(), NUMBERS);
    assert_eq!(model.tensor("c").unwrap().shape, [2, 3]);
    let shapes: Vec<_> = model.tensors().map(|(name, tensor)| (name.to_owned(), tensor.shape.to_vec())).collect();
    assert_eq!(shapes, [("a".to_owned(), vec![4]), ("b".to_owned(), vec![2]), ("c".to_owned(), vec![2, 3])]);
}

#[test]
fn one_file() {
    let folder = written(DEFAULT_SHARD_BYTES);
    assert_eq!(files(folder.path()), ["config.json", "generation_config.json", "model.safetensors"]);
    check(folder.path());
    let file = TensorFile::open(&folder.path().join("model.safetensors")).unwrap();
    assert_eq!(file.metadata()["format"], "pt");
    let config = fs::read_to_string(folder.path().join("config.json")).unwrap();
    assert_eq!(config, "{\n  \"z\": 1,\n  \"model_type\": \"llama\",\n  \"a\": 2\n}\n");
}

#[test]
fn shards_with_an_index() {
    let folder = written(24);
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    assert!(files(folder.path()).ends_with(&[
        shards[0].into(),
        shards[1].into(),
        "model.safetensors.index.json".into()
    ]));
    check(folder.path());
    let index = fs::read(folder.path().join("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let map = json!({"a": shards[0], "b": shards[0], "c": shards[1]});
    assert_eq!(index, json!({"metadata": {"total_size": 48}, "weight_map": map}));
}

#[test]
fn a_tensor_larger_than_a_shard_gets_its_own() {
    let folder = written(1);
    assert_eq!(files(folder.path()).iter().filter(|name| name.starts_with("model-")).count(), 3);
    check(folder.path());
}

#[test]
fn the_new_layout_replaces_the_old() {
    let folder = written(24);
    let model = |shard| write_model(folder.path(), &json!({}), None, &tensors()[..2], shard).unwrap();
    model(DEFAULT_SHARD_BYTES);
    assert!(!folder.path().join("model.safetensors.index.json").exists());
    model(1);
    assert!(!folder.path().join("model.safetensors").exists());
    assert_eq!(ModelFolder::open(folder.path()).unwrap().names().len(), 2);
}

#[test]
fn one_tensor_at_a_time() {
    let folder = tempdir().unwrap();
    let layout = [TensorLayout::f32("a", &[1]), TensorLayout::f32("b", &[2])];
    let config = json!({});
    let mut writer = ModelWriter::create(folder.path(), &ModelPlan::new(&config, &layout)).unwrap();
    assert!(matches!(writer.write("x", &[]), Err(FormatError::Tensor { .. })));
    writer.write("b", f32_bytes(&[1.0, 2.0])).unwrap();
    writer.write("a", f32_bytes(&[0.0])).unwrap();
    writer.finish().unwrap();
    assert_eq!(ModelFolder::open(folder.path()).unwrap().f32("b").unwrap(), [1.0, 2.0]);
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempdir().unwrap();
    assert!(matches!(ModelFolder::open(folder.path()), Err(FormatError::Missing { expected: "config.json", .. })));
    fs::write(folder.path().join("config.json"), "{}").unwrap();
    let message = ModelFolder::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("model.safetensors"), "{message}");
    let message = ModelFolder::open(Path::new("/nowhere/at/all")).unwrap_err().to_string();
    assert!(message.contains("/nowhere/at/all"), "{message}");
}

#[test]
fn a_config_that_is_not_an_object_is_refused_with_its_line() {
    let folder = written(DEFAULT_SHARD_BYTES);
    for (text, at) in [("{\n\"a\": }", 2), ("[]", 1), ("", 1)] {
        fs::write(folder.path().join("config.json"), text).unwrap();
        let error = ModelFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, FormatError::Json { line, .. } if line.max(1) == at), "{error}");
    }
}

#[test]
fn an_index_can_not_lead_out_of_its_folder() {
    let folder = written(24);
    let index = folder.path().join("model.safetensors.index.json");
    let outside = tempdir().unwrap();
    fs::copy(folder.path().join("model-00001-of-00002.safetensors"), outside.path().join("x.safetensors")).unwrap();
    let absolute = outside.path().join("x.safetensors").to_string_lossy().into_owned();
    for name in
        [&absolute, "../x.safetensors", "a/../x.safetensors", "..", "", "a\\x.safetensors", "C:x.safetensors", "x.txt"]
    {
        fs::write(&index, json!({"weight_map": {"a": name}}).to_string()).unwrap();
        let error = ModelFolder::open(folder.path()).unwrap_err();
        assert!(matches!(&error, FormatError::Index { tensor, .. } if tensor == "a"), "{name}: {error}");
    }
}

#[test]
fn an_index_that_does_not_fit_its_shards() {
    let folder = written(24);
    let index = folder.path().join("model.safetensors.index.json");
    fs::write(&index, json!({"weight_map": {"new": "model-00001-of-00002.safetensors"}}).to_string()).unwrap();
    assert!(matches!(ModelFolder::open(folder.path()), Err(FormatError::Index { tensor, .. }) if tensor == "new"));
    fs::write(&index, json!({"weight_map": {"a": "gone.safetensors"}}).to_string()).unwrap();
    let message = ModelFolder::open(folder.path()).unwrap_err().to_string();
    assert!(message.contains("gone.safetensors"), "{message}");
    for value in [json!({}), json!({"weight_map": []}), json!({"weight_map": {"a": 3}})] {
        fs::write(&index, value.to_string()).unwrap();
        assert!(matches!(ModelFolder::open(folder.path()), Err(FormatError::Json { .. } | FormatError::Index { .. })));
    }
}
