//! Tiny models, and requests whose answers are collected.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex};

use inkstone_engine::{CachePrecision, Event, Finished, Limits, Request, Sampling, Scheduler, Scored, generate};
use inkstone_models::{Kind, Model, is_side_by_side};
use inkstone_nn::{Precision, device};
use serde_json::json;

/// What was heard of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Heard {
    pub(crate) prompt: Vec<Scored>,
    pub(crate) tokens: Vec<Scored>,
    pub(crate) finished: Option<Finished>,
}

impl Heard {
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    pub(crate) fn finished(&self) -> &Finished {
        self.finished.as_ref().unwrap()
    }
}

/// The ear of one request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ear(Arc<Mutex<Heard>>);

impl Ear {
    pub(crate) fn heard(&self) -> Heard {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn request(&self, prompt: &[u32], sampling: Sampling) -> Request {
        let heard = Arc::clone(&self.0);
        Request::new(prompt.to_vec(), sampling, move |event| {
            let mut heard = heard.lock().unwrap();
            match event {
                Event::Prompt(scores) => heard.prompt = scores,
                Event::Token(token) => heard.tokens.push(token),
                Event::Finished(finished) => heard.finished = Some(finished),
            }
            ControlFlow::Continue(())
        })
    }
}

pub(crate) fn limits() -> Limits {
    Limits {
        cache_bytes: 64 << 20,
        cache_precision: CachePrecision::F32,
        running: 16,
        waiting: 64,
        pass_tokens: 24,
        draft_tokens: 4,
    }
}

/// A grouped-query LLaMA with drawn weights.
pub(crate) fn llama() -> Model {
    let config = json!({
        "model_type": "llama", "vocab_size": 50, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 200, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true, "rope_theta": 500.0, "initializer_range": 0.3,
    });
    Model::init(&config, 3, Precision::F32, &device()).unwrap()
}

/// Every decoder of which there is a fixture and whose sequences go side by side, by its folder's name.
pub(crate) fn decoders() -> Vec<(String, Model)> {
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures"));
    let mut folders: Vec<_> = std::fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    let folders = folders.iter().filter(|folder| folder.join("oracle.safetensors").is_file());
    let load = |folder: &std::path::PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        (name, Model::load(folder, Precision::F32, &device()).unwrap())
    };
    let served = |model: &Model| model.kind() == Kind::Decoder && is_side_by_side(model.config_json());
    folders.map(load).filter(|(_, model)| served(model)).collect()
}

pub(crate) fn prompt(seed: u32, length: usize, vocabulary: usize) -> Vec<u32> {
    (0..length as u32).map(|i| (i * i * 7 + i * 3 + seed * 11 + seed) % vocabulary as u32).collect()
}

/// Sampling at a temperature, so that a difference of probabilities would show.
pub(crate) fn sampling(seed: u64, max_new_tokens: usize) -> Sampling {
    Sampling { temperature: 0.9, top_p: Some(0.95), seed, max_new_tokens, ..Sampling::greedy() }
}

pub(crate) fn plain(model: &Model, prompt: &[u32], sampling: &Sampling) -> Vec<u32> {
    generate(model, prompt, sampling, &mut |_| ControlFlow::Continue(())).unwrap()
}

pub(crate) fn run_to_end(scheduler: &mut Scheduler<'_>) {
    for _ in 0..100_000 {
        if scheduler.is_idle() {
            return;
        }
        scheduler.step();
    }
    panic!("the engine does not come to an end: {scheduler:?}");
}

/// The answers to all prompts at once.
pub(crate) fn together(model: &Model, limits: Limits, prompts: &[(Vec<u32>, Sampling)]) -> Vec<Heard> {
    let mut scheduler = Scheduler::new(model, limits).unwrap();
    let ears: Vec<Ear> = prompts.iter().map(|_| Ear::default()).collect();
    for (ear, (prompt, sampling)) in ears.iter().zip(prompts) {
        scheduler.submit(Request { logprobs: Some(2), ..ear.request(prompt, sampling.clone()) }).unwrap();
    }
    run_to_end(&mut scheduler);
    assert_eq!(scheduler.load().blocks_held, 0, "blocks are stuck");
    ears.iter().map(Ear::heard).collect()
}
