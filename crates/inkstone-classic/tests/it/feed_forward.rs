use inkstone_classic::feed_forward::{Network, Shape};
use inkstone_classic::neural::{LanguageModel, Training, mean_loss, train};

use crate::recurrent::{Quiet, TRAINING, close, gradients_are_finite_differences, lesson, stopped_and_whole, text};

fn shape(direct: bool) -> Shape {
    Shape { vocab_size: 9, context: 3, embedding: 8, hidden: 8, direct }
}

/// Equation 1 of the paper for one position, in double precision; `seen` is newest first.
fn logits(network: &Network, seen: &[u32]) -> Vec<f32> {
    let tensor = |name: &str| -> Vec<f64> {
        let found = network.weights.0.iter().find(|tensor| tensor.name == name);
        found.map_or_else(Vec::new, |tensor| tensor.values.iter().map(|&x| f64::from(x)).collect())
    };
    let times = |w: &[f64], x: &[f64]| -> Vec<f64> {
        w.chunks(x.len()).map(|row| row.iter().zip(x).map(|(a, b)| a * b).sum()).collect()
    };
    let m = network.shape.embedding;
    let x: Vec<f64> = seen.iter().flat_map(|&id| tensor("encoder.weight")[id as usize * m..][..m].to_vec()).collect();
    let inner = times(&tensor("hidden.weight"), &x);
    let a: Vec<f64> = inner.iter().zip(tensor("hidden.bias")).map(|(x, d)| (x + d).tanh()).collect();
    let mut y: Vec<f64> =
        times(&tensor("decoder.weight"), &a).iter().zip(tensor("decoder.bias")).map(|(y, b)| y + b).collect();
    if network.shape.direct {
        y.iter_mut().zip(times(&tensor("direct.weight"), &x)).for_each(|(y, w)| *y += w);
    }
    y.into_iter().map(|y| y as f32).collect()
}

/// With no weight at zero.
fn drawn(direct: bool) -> Network {
    let mut network = Network::drawn(shape(direct), 7).unwrap();
    for (t, tensor) in network.weights.0.iter_mut().enumerate() {
        tensor.values.iter_mut().enumerate().for_each(|(n, x)| *x += 0.3 * ((n * 7 + t * 3) as f32).sin());
    }
    network
}

#[test]
fn logits_are_the_papers_whatever_the_stretches() {
    for direct in [false, true] {
        let network = drawn(direct);
        // Two rows: 1 2 3 4 and 5 6 7 8; 9 stands for what is before the text.
        let ids = [1, 5, 2, 6, 3, 7, 4, 8];
        let seen = [[1, 9, 9], [5, 9, 9], [2, 1, 9], [6, 5, 9], [3, 2, 1], [7, 6, 5], [4, 3, 2], [8, 7, 6]];
        let expected: Vec<f32> = seen.iter().flat_map(|seen| logits(&network, seen)).collect();
        close(&network.logits(&ids, &mut network.begin(2)), &expected, "at once");
        let mut state = network.begin(2);
        let parts: Vec<f32> = ids.chunks(4).flat_map(|ids| network.logits(ids, &mut state)).collect();
        close(&parts, &expected, "in parts");
    }
}

#[test]
fn gradients_are_finite_differences_with_units_left_out() {
    for direct in [false, true] {
        gradients_are_finite_differences(&drawn(direct), 5, 4e-4);
    }
}

#[test]
fn it_learns_what_the_last_tokens_tell_and_frozen_vectors_stay() {
    for (direct, frozen_vectors) in [(false, false), (true, false), (false, true)] {
        let mut network = drawn(direct);
        let vectors = network.weights.0[0].clone();
        let training = Training { frozen_vectors, ..TRAINING };
        let before = mean_loss(&network, &text(200));
        train(&mut network, &lesson((&text(2000), &text(200)), &training), &mut Quiet).unwrap();
        let after = mean_loss(&network, &text(200));
        assert!(before > 2.0 && after < 0.2, "{before} to {after}");
        assert_eq!(network.weights.0[0] == vectors, frozen_vectors);
    }
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_weights() {
    let training = Training { epochs: 3, checkpoint_every: 7, ..TRAINING };
    let (last, whole) = stopped_and_whole(&drawn(true), &training);
    assert!(last == whole);
}

#[test]
fn a_folder_reads_back_and_wrong_ones_are_errors() {
    let network = drawn(true);
    let folder = tempfile::tempdir().unwrap();
    network.save(folder.path()).unwrap();
    assert!(Network::is_in(folder.path()));
    assert_eq!(Network::load(folder.path()).unwrap(), network);
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).unwrap();
    for (from, to) in [("\"hidden\": 8", "\"hidden\": 9"), ("\"context\": 3", "\"context\": 0"), ("true", "false")] {
        assert!(text.contains(from), "{text}");
        std::fs::write(&config, text.replace(from, to)).unwrap();
        assert!(Network::load(folder.path()).is_err(), "{to}");
    }
}
