use std::path::Path;

use inkstone_classic::neural::{
    Dropout, Epoch, LanguageModel, Lesson, Optimizer, Tensors, Training, Watch, mean_loss, train,
};
use inkstone_classic::recurrent::{Kind, Network, Shape};
use inkstone_kernels::Precision;
use serde_json::Value;

fn fixture(cell: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../fixtures/recurrent/{cell}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f32> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect()
}

#[track_caller]
pub(crate) fn close(got: &[f32], expected: &[f32], what: &str) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.0f32, |top, x| top.max(x.abs()));
    for (n, (got, expected)) in got.iter().zip(expected).enumerate() {
        assert!((got - expected).abs() <= 1e-5 * scale + 1e-7, "{what}, element {n}: {got}, expected {expected}");
    }
}

#[test]
fn losses_gradients_and_carried_state_are_pytorchs() {
    for cell in ["lstm", "gru", "elman"] {
        let fixture = fixture(cell);
        let shape: Shape = serde_json::from_value(fixture["shape"].clone()).unwrap();
        let mut network = Network::drawn(shape.clone(), 1).unwrap();
        for tensor in &mut network.weights.0 {
            tensor.values = numbers(&fixture["weights"][&tensor.name]);
        }
        let ids: [Vec<u32>; 2] = serde_json::from_value(fixture["ids"].clone()).unwrap();
        let labels: [Vec<i32>; 2] = serde_json::from_value(fixture["labels"].clone()).unwrap();
        let mut state = network.begin(fixture["rows"].as_u64().unwrap() as usize);
        let mut grads = Tensors::zeros(&shape);
        let losses = network.losses_and_grads((&ids[0], &labels[0]), &mut state, None, &mut grads);
        close(&losses, &numbers(&fixture["losses"]), cell);
        for tensor in &grads.0 {
            let name = format!("{cell} {}", tensor.name);
            close(&tensor.values, &numbers(&fixture["gradients"][&tensor.name]), &name);
        }
        let next = network.losses(&ids[1], &labels[1], &mut state);
        close(&next, &numbers(&fixture["next_losses"]), cell);
    }
}

fn shape(cell: Kind, tied: bool) -> Shape {
    Shape { cell, vocab_size: 9, embedding: 8, hidden: 8, layers: 2, tied }
}

#[test]
fn gradients_are_finite_differences_with_units_left_out() {
    for (cell, tied) in [(Kind::Lstm, true), (Kind::Gru, false), (Kind::Elman, true)] {
        gradients_are_finite_differences(&Network::drawn(shape(cell, tied), 7).unwrap(), 13, 2e-4);
    }
}

/// Every `every`th number of each tensor, to `tolerance`.
pub(crate) fn gradients_are_finite_differences<M: LanguageModel>(network: &M, every: usize, tolerance: f64) {
    let (ids, labels) = ([1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]);
    let dropout = Some(Dropout { rate: 0.4, seed: 3, step: 5 });
    let loss = |network: &M, grads: &mut Tensors| {
        let losses = network.losses_and_grads((&ids, &labels), &mut network.begin(2), dropout, grads);
        losses.iter().map(|&x| f64::from(x)).sum::<f64>() / 6.0
    };
    let mut grads = Tensors::zeros(network.layout());
    loss(network, &mut grads);
    let mut unused = grads.clone();
    for (t, tensor) in grads.0.iter().enumerate() {
        for n in (0..tensor.values.len()).step_by(every) {
            let mut moved = |by: f32| {
                let mut network = network.clone();
                network.weights_mut().0[t].values[n] += by;
                loss(&network, &mut unused)
            };
            let slope = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let got = f64::from(tensor.values[n]);
            assert!((got - slope).abs() < tolerance, "{}[{n}]: {got}, expected {slope}", tensor.name);
        }
    }
}

pub(crate) struct Quiet;

impl Watch for Quiet {
    fn tokens(&mut self, _done: u64, _loss: f64) -> bool {
        true
    }
    fn epoch(&mut self, _epoch: &Epoch) {}
    fn warn(&mut self, line: &str) {
        panic!("{line}");
    }
}

pub(crate) fn lesson<'a>(texts: (&'a [u32], &'a [u32]), training: &'a Training) -> Lesson<'a> {
    Lesson { text: texts.0, validation: texts.1, training, seed: 1, state: None }
}

pub(crate) const TRAINING: Training = Training {
    batch: 4,
    steps: 10,
    epochs: 12,
    optimizer: Optimizer::AdamW,
    learning_rate: 1e-2,
    clip: 1.0,
    dropout: 0.1,
    precision: Precision::F32,
    frozen_vectors: false,
    checkpoint_every: 0,
};

/// A text in which every token follows from the one two places before.
pub(crate) fn text(n: usize) -> Vec<u32> {
    (0..n).map(|n| ((n / 2 * 3 + n % 2 * 4) % 9) as u32).collect()
}

#[test]
fn all_cells_learn_a_text_that_needs_memory() {
    for cell in [Kind::Lstm, Kind::Gru, Kind::Elman] {
        let mut network = Network::drawn(shape(cell, false), 1).unwrap();
        let before = mean_loss(&network, &text(200));
        let epochs = train(&mut network, &lesson((&text(2000), &text(200)), &TRAINING), &mut Quiet).unwrap();
        let after = mean_loss(&network, &text(200));
        assert!(before > 2.0 && after < 0.2, "{cell:?}: {before} to {after}");
        let lowest = epochs.iter().filter_map(|epoch| epoch.validation_loss).fold(f64::INFINITY, f64::min);
        assert!((lowest - after).abs() < 1e-9);
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let on = |threads: usize| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
            let mut network = Network::drawn(shape(Kind::Lstm, true), 1).unwrap();
            let training = Training { epochs: 1, batch: 40, ..TRAINING };
            train(&mut network, &lesson((&text(2000), &[]), &training), &mut Quiet).unwrap();
            network
        })
    };
    let one = on(1);
    assert!([2, 3, 8].into_iter().all(|threads| on(threads) == one));
}

#[test]
fn a_folder_reads_back_and_wrong_ones_are_errors() {
    let network = Network::drawn(shape(Kind::Gru, true), 1).unwrap();
    let folder = tempfile::tempdir().unwrap();
    network.save(folder.path()).unwrap();
    assert!(Network::is_in(folder.path()));
    assert_eq!(Network::load(folder.path()).unwrap(), network);
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    for (from, to) in [("\"hidden\": 8", "\"hidden\": 9"), ("\"gru\"", "\"lstm\""), ("\"layers\": 2", "\"layers\": 0")]
    {
        assert!(text.contains(from), "{text}");
        std::fs::write(&config, text.replace(from, to)).unwrap();
        assert!(Network::load(folder.path()).is_err(), "{to}");
    }
}

#[test]
fn a_step_at_a_time_is_all_at_once_and_dynamic_evaluation_helps() {
    let mut network = Network::drawn(shape(Kind::Lstm, false), 1).unwrap();
    let text = text(900);
    let mut state = network.begin(1);
    let all = network.logits(&text[..5], &mut state);
    let mut state = network.begin(1);
    let steps: Vec<f32> = text[..5].iter().flat_map(|&id| network.logits(&[id], &mut state)).collect();
    close(&steps, &all, "steps");
    train(&mut network, &lesson((&text, &[]), &Training { epochs: 1, ..TRAINING }), &mut Quiet).unwrap();
    let loss = |dynamic| network.stream_losses(&text, dynamic, &mut |_| true).unwrap().iter().sum::<f32>();
    assert!(loss(Some(0.5)) < loss(None));
    assert!(network.stream_losses(&text, None, &mut |_| false).is_err());
}

#[test]
fn too_little_text_and_impossible_shapes_are_errors() {
    let mut network = Network::drawn(shape(Kind::Lstm, true), 1).unwrap();
    assert!(train(&mut network, &lesson((&[1, 2, 3], &[]), &TRAINING), &mut Quiet).is_err());
    assert!(train(&mut network, &lesson((&[], &[]), &TRAINING), &mut Quiet).is_err());
    for bad in [Shape { hidden: 0, ..shape(Kind::Lstm, false) }, Shape { embedding: 4, ..shape(Kind::Lstm, true) }] {
        assert!(Network::drawn(bad, 1).is_err());
    }
}

#[test]
fn a_loss_that_is_not_finite_is_an_error() {
    let mut network = Network::drawn(shape(Kind::Lstm, true), 1).unwrap();
    network.weights.0[0].values[0] = f32::NAN;
    let error = train(&mut network, &lesson((&text(200), &[]), &TRAINING), &mut Quiet).unwrap_err();
    assert!(error.to_string().contains("not finite at step 1"));
}

/// Stops a training after so many tokens.
pub(crate) struct Until(pub(crate) u64, pub(crate) Vec<u64>);

impl Watch for Until {
    fn tokens(&mut self, done: u64, _loss: f64) -> bool {
        self.1.push(done);
        done < self.0
    }
    fn epoch(&mut self, _epoch: &Epoch) {}
    fn warn(&mut self, line: &str) {
        panic!("{line}");
    }
}

/// Trains, stopped and begun again at many places; the network, and that of a training that was left alone.
pub(crate) fn stopped_and_whole<M: LanguageModel>(network: &M, training: &Training) -> (M, M) {
    let (text, validation) = (text(2000), text(300));
    let mut whole = network.clone();
    train(&mut whole, &lesson((&text, &validation), training), &mut Quiet).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let lesson = Lesson { state: Some(folder.path()), ..lesson((&text, &validation), training) };
    let mut begun = Vec::new();
    for stop in [200, 900, 2100, 4000, 5900] {
        let mut watch = Until(stop, Vec::new());
        assert!(train(&mut network.clone(), &lesson, &mut watch).is_err());
        begun.push(watch.1[0]);
    }
    assert!(begun.is_sorted() && begun[4] > 4000, "{begun:?}");
    let mut last = network.clone();
    train(&mut last, &lesson, &mut Quiet).unwrap();
    (last, whole)
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_weights() {
    for optimizer in [Optimizer::AdamW, Optimizer::Sgd] {
        for cell in [Kind::Lstm, Kind::Gru, Kind::Elman] {
            let training = Training { epochs: 3, optimizer, learning_rate: 0.05, checkpoint_every: 7, ..TRAINING };
            let (last, whole) = stopped_and_whole(&Network::drawn(shape(cell, true), 1).unwrap(), &training);
            assert!(last == whole, "{cell:?} {optimizer:?}");
        }
    }
}

#[test]
fn products_in_bf16_learn_as_well() {
    let mut network = Network::drawn(shape(Kind::Lstm, false), 1).unwrap();
    let training = Training { precision: Precision::Bf16, ..TRAINING };
    train(&mut network, &lesson((&text(2000), &text(200)), &training), &mut Quiet).unwrap();
    let rounded = mean_loss(&network, &text(200));
    network.set_precision(Precision::F32);
    let exact = mean_loss(&network, &text(200));
    assert!(rounded < 0.2 && exact < 0.2 && rounded != exact, "{rounded}, {exact}");
}
