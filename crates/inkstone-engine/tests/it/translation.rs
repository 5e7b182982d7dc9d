//! Encoder-decoders behind the engine.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use inkstone_engine::{Engine, EngineError, Reason, Request, Sampling};
use inkstone_models::{Model, Source};
use inkstone_nn::{Precision, device};

use crate::support::{Ear, limits, prompt};

fn t5() -> Arc<Model> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/t5_tiny"));
    Arc::new(Model::load(folder, Precision::F32, &device()).unwrap())
}

/// The most likely token each time, with the model alone.
fn greedy(model: &Model, source: &[u32], n: usize) -> Vec<u32> {
    let (mut cache, mut tokens) = (model.cache(0), vec![0]);
    for _ in 0..n {
        let source = cache.is_empty().then_some(Source { ids: source, lengths: None });
        let logits = model.last_logits_after(source, &tokens[tokens.len() - 1..], &mut cache);
        tokens.push((0..logits.len()).fold(0, |top, id| if logits[id] > logits[top] { id } else { top }) as u32);
    }
    tokens.split_off(1)
}

fn wait(ears: &[Ear]) {
    let begin = Instant::now();
    while ears.iter().any(|ear| ear.heard().finished.is_none()) {
        assert!(begin.elapsed() < Duration::from_secs(30), "no end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn sources_are_answered_beside_each_other_as_alone() {
    let model = t5();
    let engine = Engine::start(Arc::clone(&model), limits()).unwrap();
    let ears = [(); 3].map(|()| Ear::default());
    for (n, ear) in ears.iter().enumerate() {
        let sampling = Sampling { max_new_tokens: 8, ..Sampling::greedy() };
        engine.submit(ear.request(&prompt(n as u32, 5 + 3 * n, 61), sampling)).unwrap();
    }
    wait(&ears);
    for (n, ear) in ears.iter().enumerate() {
        let source = prompt(n as u32, 5 + 3 * n, 61);
        let heard = ear.heard();
        assert_eq!(heard.ids(), greedy(&model, &source, 8), "source {n}");
        assert_eq!((heard.finished().reason.clone(), heard.finished().prompt_tokens), (Reason::Length, source.len()));
    }
    assert_eq!((engine.load().running, engine.load().new_tokens), (0, 24));
}

#[test]
fn a_source_is_checked_and_can_be_given_up() {
    let engine = Engine::start(t5(), limits()).unwrap();
    let (ear, sampling) = (Ear::default(), Sampling { max_new_tokens: 40, ..Sampling::greedy() });
    for (prompt, scores) in [(vec![], None), (vec![61], None), (vec![1], Some(1))] {
        let request = Request { prompt_logprobs: scores, ..ear.request(&prompt, sampling.clone()) };
        assert!(!matches!(engine.submit(request), Ok(()) | Err(EngineError::Stopped)));
    }
    let request = ear.request(&[1, 2], sampling);
    request.cancel.cancel();
    engine.submit(request).unwrap();
    wait(std::slice::from_ref(&ear));
    assert_eq!(ear.heard().finished().reason, Reason::Cancelled);
}
