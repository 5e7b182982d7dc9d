//! An outside oracle for the heads of tasks: each folder of `fixtures/heads`, made by `fixtures/scripts/heads.py`.

use std::path::{Path, PathBuf};

use inkstone_formats::safetensors::TensorFile;
use inkstone_models::{Model, NoObserver, Pass, TaskHead, labels_of, task_config};
use inkstone_nn::{Device, Precision, Tensor, device, ops, training_device};
use serde_json::Value;

// Both sides compute in f32 and add in different orders.

/// Largest difference of a logit.
const LOGIT_TOLERANCE: f32 = 1e-4;
/// Largest difference of the loss, relative to it.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Largest difference of an entry of a gradient, relative to the gradient's largest entry, or to the floor for one that is nothing but
/// rounding (that of a bias of keys).
const GRADIENT_TOLERANCE: f32 = 1e-3;
const LEAST_GRADIENT: f32 = 1e-4;

fn folders() -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/heads"));
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn integers<T: TryFrom<i64, Error: std::fmt::Debug>>(value: &Value) -> Vec<T> {
    match value {
        Value::Array(all) => all.iter().flat_map(integers).collect(),
        one => vec![one.as_i64().unwrap().try_into().unwrap()],
    }
}

struct Oracle {
    name: String,
    json: Value,
    tensors: TensorFile,
}

impl Oracle {
    fn open(folder: &Path) -> Self {
        Self {
            name: folder.file_name().unwrap().to_string_lossy().into_owned(),
            json: serde_json::from_slice(&std::fs::read(folder.join("oracle.json")).unwrap()).unwrap(),
            tensors: TensorFile::open(&folder.join("oracle.safetensors")).unwrap(),
        }
    }

    /// What the head makes of the oracle's rows.
    fn logits(&self, model: &Model) -> Tensor<2> {
        let (ids, segments, lengths) = (
            integers::<u32>(&self.json["ids"]),
            integers::<u32>(&self.json["segments"]),
            integers::<u32>(&self.json["lengths"]),
        );
        let length = ids.len() / lengths.len();
        let ends: Vec<u32> = (0..ids.len()).map(|n| lengths[n / length]).collect();
        let decoder = self.name.starts_with("llama");
        let mut observer = NoObserver;
        let mut pass =
            Pass { segments: Some(&segments), ends: (!decoder).then_some(&ends[..]), ..Pass::new(&mut observer) };
        model.task_logits(&ids, &lengths, &mut pass).unwrap_or_else(|| panic!("{}: no head", self.name))
    }

    fn compare(&self, tensor: &str, got: &[f32], tolerance: f32) {
        let expected = self.tensors.f32(tensor).unwrap();
        assert_eq!(got.len(), expected.len(), "{}: {tensor}", self.name);
        let off = got.iter().zip(&expected).map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
        assert!(off <= tolerance, "{}: {tensor} deviates by {off:e}, more than {tolerance:e}", self.name);
    }
}

fn load(folder: &Path, device: &Device) -> Model {
    Model::load(folder, Precision::F32, device).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
}

#[test]
fn logits_loss_and_gradients_of_every_head_are_those_of_pytorch() {
    for folder in folders() {
        let (oracle, model) = (Oracle::open(&folder), load(&folder, &training_device()));
        let logits = oracle.logits(&model);
        let values = logits.clone().into_data_as::<f32>().try_to_vec::<f32>().unwrap();
        oracle.compare("logits", &values, LOGIT_TOLERANCE);
        let [n, width] = logits.dims();
        let asked = match oracle.name.rsplit('_').next() {
            Some("choice") => logits.reshape([1, n]),
            Some("span") => logits.transpose().reshape([4, n * width / 4]),
            _ => logits,
        };
        let loss = ops::cross_entropy(asked, integers::<i32>(&oracle.json["labels"]).into()).mean;
        let mut gradients = loss.backward();
        let (got, expected) = (f64::from(loss.into_scalar::<f32>()), oracle.json["loss"].as_f64().unwrap());
        assert!((got / expected - 1.0).abs() < LOSS_TOLERANCE, "{}: the loss is {got}, not {expected}", oracle.name);
        let mut seen = 0;
        model.visit_gradients(&mut gradients, &mut |parameter, gradient| {
            let name = format!("gradient.{parameter}");
            let largest = oracle.tensors.f32(&name).unwrap().iter().fold(LEAST_GRADIENT, |top, x| top.max(x.abs()));
            oracle.compare(&name, gradient.values(), GRADIENT_TOLERANCE * largest);
            seen += 1;
        });
        let expected = oracle.tensors.names().filter(|name| name.starts_with("gradient.")).count();
        assert_eq!(seen, expected, "{}: parameters with a gradient", oracle.name);
    }
}

#[test]
fn a_folder_with_a_head_comes_back_as_it_was() {
    for folder in folders() {
        let out = tempfile::tempdir().unwrap();
        load(&folder, &device()).save(out.path()).unwrap();
        let open = |folder: &Path| TensorFile::open(&folder.join("model.safetensors")).unwrap();
        let (theirs, ours) = (open(&folder), open(out.path()));
        assert!(theirs.names().eq(ours.names()), "{}", folder.display());
        for (name, theirs) in theirs.tensors() {
            assert!(ours.tensor(name).unwrap().bytes == theirs.bytes, "{}: {name}", folder.display());
        }
    }
}

#[test]
fn a_head_is_put_onto_a_pre_trained_model_and_tells_what_it_draws_and_leaves() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/bert_masked_tiny"));
    let config = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let labels = ["bad".to_owned(), "good".to_owned(), "so-so".to_owned()];
    let config = task_config(&config, TaskHead::Sequence, &labels);
    assert_eq!(config["architectures"][0], "BertForSequenceClassification");
    assert_eq!(labels_of(&config), labels);
    let (model, [drawn, unused]) = Model::load_for(folder, &config, 1, (Precision::F32, &device())).unwrap();
    assert_eq!(drawn, ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"]);
    assert!(unused.iter().all(|name| name.starts_with("cls.")) && !unused.is_empty(), "{unused:?}");
    let mut count = 0;
    model.visit_parameters(&mut |_, _, values| count += values.len() as u64);
    assert_eq!(model.n_parameters(), count);
}
