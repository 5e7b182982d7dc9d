//! An outside oracle: PyTorch's logits, loss, gradients and greedy tokens of two tiny models, made by
//! `fixtures/scripts/llama_fixture.py`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use inkstone_models::{Model, NoObserver, Pass};
use inkstone_nn::{Device, Precision, device, training_device};
use serde_json::Value;

// Both sides compute in f32 and add in different orders. Measured on x86-64: 8e-7 for a logit, 1e-9 for the loss and
// 1.3e-6 for a gradient; the tolerances leave room for other processors' instructions. For logits and gradients, a
// rotary base that is 1% off exceeds them.

/// Largest difference of a logit.
const LOGIT_TOLERANCE: f32 = 1e-4;
/// Largest difference of the loss, relative to it.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Largest difference of an entry of a gradient, relative to the gradient's largest entry.
const GRADIENT_TOLERANCE: f32 = 1e-4;

const FIXTURES: [&str; 2] = ["llama_tiny_tied", "llama_tiny_untied"];

fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures")).join(name)
}

/// The model of a fixture and what PyTorch makes of it.
fn load(name: &str, device: &Device) -> (Model, Value) {
    let model = Model::load(&folder(name), Precision::F32, device).unwrap();
    let oracle = std::fs::read(folder(name).join("oracle.json")).unwrap();
    (model, serde_json::from_slice(&oracle).unwrap())
}

fn floats(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

fn integers<T: TryFrom<i64, Error: std::fmt::Debug>>(value: &Value) -> Vec<T> {
    value.as_array().unwrap().iter().map(|x| x.as_i64().unwrap().try_into().unwrap()).collect()
}

/// Rows one after the other.
fn rows<T: TryFrom<i64, Error: std::fmt::Debug>>(value: &Value) -> Vec<T> {
    value.as_array().unwrap().iter().flat_map(integers).collect()
}

fn logits(model: &Model, ids: &[u32], batch: usize, starts: Option<&[u32]>) -> Vec<f32> {
    let mut observer = NoObserver;
    let mut pass = Pass { starts, ..Pass::new(&mut observer) };
    model.forward(ids, batch, &mut pass).into_data_as::<f32>().try_to_vec::<f32>().unwrap()
}

/// Largest difference; infinite where a side is not a number.
#[track_caller]
fn deviation(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    let difference = |(g, e): (&f32, &f32)| if (g - e).is_nan() { f32::INFINITY } else { (g - e).abs() };
    got.iter().zip(expected).map(difference).fold(0.0, f32::max)
}

/// Fails, with the deviation, unless it is within `tolerance`.
#[track_caller]
fn within(what: &str, deviation: f64, tolerance: f64) {
    assert!(deviation <= tolerance, "{what} deviates by {deviation:e}, more than {tolerance:e}");
}

fn argmax(values: &[f32]) -> u32 {
    (0..values.len()).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap() as u32
}

#[test]
fn logits_are_those_of_pytorch() {
    for name in FIXTURES {
        let (model, oracle) = load(name, &device());
        let expected = floats(&oracle["logits"]);
        let both = logits(&model, &rows(&oracle["ids"]), 2, None);
        let deviation = deviation(&both[..expected.len()], &expected);
        within(&format!("{name}: a logit"), deviation.into(), LOGIT_TOLERANCE.into());
    }
}

#[test]
fn the_loss_is_that_of_pytorch() {
    for name in FIXTURES {
        let (model, oracle) = load(name, &device());
        let labels = rows(&oracle["labels"]);
        let loss = model.loss(&rows(&oracle["ids"]), &labels, 2, None);
        assert_eq!(loss.counted, labels.iter().filter(|&&label| label >= 0).count());
        let (got, expected) = (f64::from(loss.mean.into_scalar::<f32>()), oracle["loss"].as_f64().unwrap());
        within(&format!("{name}: the loss"), (got / expected - 1.0).abs(), LOSS_TOLERANCE);
    }
}

#[test]
fn gradients_are_those_of_pytorch() {
    for name in FIXTURES {
        let (model, oracle) = load(name, &training_device());
        let loss = model.loss(&rows(&oracle["ids"]), &rows(&oracle["labels"]), 2, None);
        let mut got = BTreeMap::new();
        model.visit_gradients(&mut loss.mean.backward(), &mut |parameter, gradient| {
            got.insert(parameter.to_owned(), gradient.values().to_vec());
        });
        let expected: BTreeMap<_, _> = oracle["gradients"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), floats(value)))
            .collect();
        assert!(got.keys().eq(expected.keys()), "{name}: {:?}, expected {:?}", got.keys(), expected.keys());
        for (parameter, expected) in &expected {
            let largest = expected.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
            let deviation = deviation(&got[parameter], expected) / largest;
            within(&format!("{name}: the gradient of {parameter}"), deviation.into(), GRADIENT_TOLERANCE.into());
        }
    }
}

#[test]
fn documents_in_one_row_are_those_of_pytorch() {
    for name in FIXTURES {
        let (model, oracle) = load(name, &device());
        let oracle = &oracle["documents"];
        let got = logits(&model, &integers(&oracle["ids"]), 1, Some(&integers(&oracle["starts"])));
        let deviation = deviation(&got, &floats(&oracle["logits"]));
        within(&format!("{name}: a logit"), deviation.into(), LOGIT_TOLERANCE.into());
    }
}

#[test]
fn greedy_tokens_are_those_of_pytorch() {
    for name in FIXTURES {
        let (model, oracle) = load(name, &device());
        let (prompt, expected) =
            (integers::<u32>(&oracle["greedy"]["prompt"]), integers::<u32>(&oracle["greedy"]["tokens"]));
        assert_eq!(expected.len(), 64);
        let mut cache = model.cache(prompt.len() + expected.len());
        let mut tokens = vec![argmax(&model.last_logits(&prompt, &mut cache))];
        while tokens.len() < expected.len() {
            tokens.push(argmax(&model.last_logits(&tokens[tokens.len() - 1..], &mut cache)));
        }
        assert_eq!(tokens, expected, "{name}");
    }
}
