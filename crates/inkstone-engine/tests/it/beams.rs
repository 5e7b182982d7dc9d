//! Beam search against trying everything.

use std::path::Path;

use inkstone_engine::{Beams, Sampling, beam_search};
use inkstone_models::{Model, NoObserver, Pass};
use inkstone_nn::{Precision, device};

use crate::support::{llama, plain, prompt};

fn beams(beams: usize, max_new_tokens: usize) -> Beams {
    Beams { beams, max_new_tokens, length_penalty: 1.0, stop_ids: Vec::new() }
}

/// The log-probability of `answer` after `prompt`, the whole text computed at once.
fn logprob(model: &Model, prompt: &[u32], answer: &[u32]) -> f64 {
    let ids = [prompt, answer].concat();
    let mut observer = NoObserver;
    let logits =
        model.forward(&ids, 1, &mut Pass::new(&mut observer)).into_data_as::<f32>().try_to_vec::<f32>().unwrap();
    let rows: Vec<&[f32]> = logits.chunks_exact(model.vocab_size()).collect();
    let score = |n: usize| {
        let row = rows[prompt.len() - 1 + n];
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        f64::from(row[answer[n] as usize]) - sum.ln()
    };
    (0..answer.len()).map(score).sum()
}

#[test]
fn one_beam_is_the_likeliest_token_each_time() {
    let (model, prompt) = (llama(), prompt(1, 9, 50));
    let greedy = plain(&model, &prompt, &Sampling { max_new_tokens: 12, ..Sampling::greedy() });
    assert_eq!(beam_search(&model, &prompt, &beams(1, 12)).unwrap()[0].tokens, greedy);
}

#[test]
fn with_a_beam_for_every_token_the_best_of_all_answers_is_found() {
    let (model, prompt) = (llama(), prompt(2, 6, 50));
    let found = beam_search(&model, &prompt, &beams(50, 2)).unwrap();
    let all = (0..50).flat_map(|a| (0..50).map(move |b| [a, b]));
    let best =
        all.map(|answer| (logprob(&model, &prompt, &answer), answer)).max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
    assert_eq!(found[0].tokens, best.1);
    assert!((found[0].score - best.0 / 2.0).abs() < 1e-4, "{} {}", found[0].score, best.0);
    assert!(found.windows(2).all(|two| two[0].score >= two[1].score));
}

#[test]
fn stop_tokens_end_answers_and_lengths_are_weighed() {
    let (model, prompt) = (llama(), prompt(3, 6, 50));
    let how = Beams { stop_ids: (0..25).collect(), ..beams(4, 10) };
    let found = beam_search(&model, &prompt, &how).unwrap();
    assert!(!found.is_empty() && found.iter().all(|one| one.tokens.iter().all(|&id| id >= 25)));
    let mean = |how: &Beams| {
        let found = beam_search(&model, &prompt, how).unwrap();
        found.iter().map(|one| one.tokens.len()).sum::<usize>() as f64 / found.len() as f64
    };
    assert!(mean(&Beams { length_penalty: 5.0, ..how.clone() }) >= mean(&Beams { length_penalty: -5.0, ..how }));
    assert!(beam_search(&model, &prompt, &beams(0, 4)).is_err() && beam_search(&model, &[], &beams(2, 4)).is_err());
}

#[test]
fn an_encoder_decoder_is_searched_too() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/t5_tiny"));
    let model = Model::load(folder, Precision::F32, &device()).unwrap();
    let found = beam_search(&model, &prompt(1, 7, 61), &beams(3, 6)).unwrap();
    assert_eq!((found.len(), found[0].tokens.len()), (3, 6));
    assert!(found[0].score >= beam_search(&model, &prompt(1, 7, 61), &beams(1, 6)).unwrap()[0].score - 1e-9);
}
