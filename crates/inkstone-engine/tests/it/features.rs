//! Log-probabilities, constraints, priorities, stops.

use std::sync::Arc;

use inkstone_engine::{Constraint, Engine, Limits, Reason, Request, Sampling, Scheduler};
use inkstone_models::{Model, NoObserver, Pass};

use crate::support::{Ear, limits, llama, plain, prompt, run_to_end, sampling};

fn log_softmax(row: &[f32]) -> Vec<f64> {
    let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
    row.iter().map(|&x| f64::from(x) - sum.ln()).collect()
}

fn all_logits(model: &Model, ids: &[u32]) -> Vec<Vec<f64>> {
    let mut observer = NoObserver;
    let logits =
        model.forward(ids, 1, &mut Pass::new(&mut observer)).into_data_as::<f32>().try_to_vec::<f32>().unwrap();
    logits.chunks_exact(model.vocab_size()).map(log_softmax).collect()
}

#[test]
fn scores_of_prompt_and_answer_are_the_models() {
    let model = llama();
    let (ear, prompt) = (Ear::default(), prompt(3, 60, 50));
    let mut scheduler = Scheduler::new(&model, limits()).unwrap();
    let request = ear.request(&prompt, Sampling { max_new_tokens: 3, ..Sampling::greedy() });
    scheduler.submit(Request { logprobs: Some(3), prompt_logprobs: Some(1), ..request }).unwrap();
    run_to_end(&mut scheduler);
    let heard = ear.heard();
    let ids = [prompt.clone(), heard.ids()].concat();
    let expected = all_logits(&model, &ids);
    let scores = [heard.prompt.clone(), heard.tokens.clone()].concat();
    assert_eq!(scores.len(), 63);
    assert_eq!(scores[0].logprob, None);
    for (n, score) in scores.iter().enumerate().skip(1) {
        let row = &expected[n - 1];
        assert_eq!(score.id, ids[n]);
        assert!((f64::from(score.logprob.unwrap()) - row[ids[n] as usize]).abs() < 1e-4);
        let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!((f64::from(score.top[0].1) - best).abs() < 1e-4);
        assert_eq!(score.top.len(), if n < 60 { 1 } else { 3 });
    }
    assert_eq!(heard.tokens[0].logprob, Some(heard.tokens[0].top[0].1), "the same number in both places");
}

#[test]
fn a_prompt_can_be_scored_without_an_answer() {
    let model = llama();
    let ear = Ear::default();
    let mut scheduler = Scheduler::new(&model, limits()).unwrap();
    let request = ear.request(&prompt(3, 200, 50), Sampling { max_new_tokens: 0, ..Sampling::greedy() });
    scheduler.submit(Request { prompt_logprobs: Some(1), ..request }).unwrap();
    run_to_end(&mut scheduler);
    assert_eq!((ear.heard().prompt.len(), ear.heard().tokens.len()), (200, 0));
}

/// Only even tokens, and no more than four.
struct Even(usize);

impl Constraint for Even {
    fn mask(&mut self, logits: &mut [f32]) -> Result<(), String> {
        logits.iter_mut().skip(1).step_by(2).for_each(|logit| *logit = f32::NEG_INFINITY);
        Ok(())
    }

    fn accept(&mut self, id: u32) -> Result<bool, String> {
        self.0 += 1;
        if id.is_multiple_of(2) { Ok(self.0 == 4) } else { Err("odd".into()) }
    }
}

#[test]
fn a_constraint_rules_every_token_and_ends_the_answer() {
    let model = llama();
    let ear = Ear::default();
    let mut scheduler = Scheduler::new(&model, limits()).unwrap();
    let request = ear.request(&prompt(4, 9, 50), sampling(4, 30));
    scheduler.submit(Request { constraint: Some(Box::new(Even(0))), ..request }).unwrap();
    run_to_end(&mut scheduler);
    let heard = ear.heard();
    assert!(heard.ids().iter().all(|id| id.is_multiple_of(2)), "{:?}", heard.ids());
    assert_eq!((heard.tokens.len(), &heard.finished().reason), (4, &Reason::Stop));
}

#[test]
fn the_more_important_request_goes_first() {
    let model = llama();
    let mut scheduler = Scheduler::new(&model, Limits { running: 1, ..limits() }).unwrap();
    let (usual, urgent) = (Ear::default(), Ear::default());
    scheduler.submit(usual.request(&[1, 2], sampling(1, 9))).unwrap();
    scheduler.submit(Request { priority: 1, ..urgent.request(&[3, 4], sampling(1, 9)) }).unwrap();
    while urgent.heard().finished.is_none() {
        scheduler.step();
    }
    assert!(usual.heard().tokens.is_empty());
    run_to_end(&mut scheduler);
    assert_eq!(usual.heard().tokens.len(), 9);
}

#[test]
fn a_stop_token_ends_the_answer_and_is_not_part_of_it() {
    let model = llama();
    let prompt = prompt(6, 12, 50);
    let free = plain(&model, &prompt, &sampling(8, 20));
    let stop = free[7];
    let first = free.iter().position(|&id| id == stop).unwrap();
    let ear = Ear::default();
    let mut scheduler = Scheduler::new(&model, limits()).unwrap();
    scheduler.submit(ear.request(&prompt, Sampling { stop_ids: vec![stop], ..sampling(8, 20) })).unwrap();
    run_to_end(&mut scheduler);
    assert_eq!(ear.heard().ids(), free[..first]);
    assert_eq!(ear.heard().finished().reason, Reason::Stop);
    assert_eq!(ear.heard().finished().completion_tokens, first + 1);
}

#[test]
fn the_thread_answers_many_callers_and_stops() {
    let model = Arc::new(llama());
    let engine = Engine::start(Arc::clone(&model), limits()).unwrap();
    let asked: Vec<_> = (0..8).map(|n| (Ear::default(), prompt(n, 5 + n as usize, 50))).collect();
    std::thread::scope(|scope| {
        for (ear, prompt) in &asked {
            scope.spawn(|| engine.submit(ear.request(prompt, sampling(1, 12))).unwrap());
        }
    });
    while asked.iter().any(|(ear, _)| ear.heard().finished.is_none()) {
        std::thread::yield_now();
    }
    for (ear, prompt) in &asked {
        assert_eq!(ear.heard().ids(), plain(&model, prompt, &sampling(1, 12)));
    }
    drop(engine);
}
