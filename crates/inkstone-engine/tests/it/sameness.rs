//! The same prompt and seed give the same tokens, whatever else is computed beside them.

use inkstone_engine::{CachePrecision, Limits, PromptLookup, Request, Sampling, Scheduler, SmallModel};

use crate::support::{Ear, decoders, limits, llama, plain, prompt, run_to_end, sampling, together};

/// Prompts of many lengths, each with its own seed.
fn crowd(vocabulary: usize, longest: usize, new: usize) -> Vec<(Vec<u32>, Sampling)> {
    let length = |n: u32| 1 + (n as usize * 17) % longest;
    (0..9).map(|n| (prompt(n, length(n), vocabulary), sampling(u64::from(n), new))).collect()
}

#[test]
fn every_decoder_answers_as_plain_generation_does() {
    let decoders = decoders();
    assert!(decoders.len() >= 6, "only {} decoders", decoders.len());
    for (name, model) in decoders {
        let context = model.context();
        let crowd = crowd(model.vocab_size(), (context / 2).clamp(2, 40), (context / 3).min(20));
        let answers = together(&model, limits(), &crowd);
        for (heard, (prompt, sampling)) in answers.iter().zip(&crowd) {
            assert_eq!(heard.ids(), plain(&model, prompt, sampling), "{name}: {} tokens of prompt", prompt.len());
        }
    }
}

#[test]
fn bits_do_not_depend_on_company_chunks_or_sharing() {
    for (name, model) in decoders() {
        let context = model.context();
        let crowd = crowd(model.vocab_size(), (context / 2).clamp(2, 40), (context / 3).min(20));
        let answers = together(&model, limits(), &crowd);
        for pass_tokens in [1, 7, 500] {
            let limits = Limits { pass_tokens, running: 2, ..limits() };
            for (alone, heard) in crowd.chunks(1).map(|one| together(&model, limits, one)).zip(&answers) {
                assert_eq!(alone[0].tokens, heard.tokens, "{name}: log-probabilities and all");
            }
        }
    }
}

#[test]
fn guesses_change_no_token() {
    let (model, small) = (llama(), std::sync::Arc::new(llama()));
    for temperature in [0.0, 0.3] {
        let sampling = Sampling { temperature, max_new_tokens: 60, ..sampling(5, 60) };
        let prompt = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 1, 2];
        let expected = plain(&model, &prompt, &sampling);
        let mut scheduler = Scheduler::new(&model, limits()).unwrap();
        let (looks_up, asks_small) = (Ear::default(), Ear::default());
        let request = looks_up.request(&prompt, sampling.clone());
        scheduler.submit(Request { draft: Some(Box::new(PromptLookup)), ..request }).unwrap();
        let request = asks_small.request(&prompt, sampling);
        scheduler.submit(Request { draft: Some(Box::new(SmallModel::new(small.clone()))), ..request }).unwrap();
        run_to_end(&mut scheduler);
        assert_eq!(looks_up.heard().ids(), expected);
        assert_eq!(asks_small.heard().ids(), expected);
        let load = scheduler.load();
        assert!(load.drafted_tokens.1 > 0 && load.passes < 100, "nothing came true: {load:?}");
        assert_eq!(load.blocks_held, 0);
    }
}

#[test]
fn a_full_pool_makes_sequences_wait_or_start_again_and_changes_no_token() {
    let model = llama();
    let crowd = crowd(50, 60, 40);
    let answers = together(&model, limits(), &crowd);
    // Twelve blocks, where the crowd would like fifty.
    let block = 2 * 2 * 2 * 6 * 16 * 4;
    let tight = Limits { cache_bytes: 12 * block, ..limits() };
    let mut scheduler = Scheduler::new(&model, tight).unwrap();
    let ears: Vec<Ear> = crowd.iter().map(|_| Ear::default()).collect();
    for (ear, (prompt, sampling)) in ears.iter().zip(&crowd) {
        scheduler.submit(ear.request(prompt, sampling.clone())).unwrap();
    }
    run_to_end(&mut scheduler);
    for (ear, expected) in ears.iter().zip(&answers) {
        assert_eq!(ear.heard().ids(), expected.ids());
    }
    let load = scheduler.load();
    assert_eq!((load.blocks, load.blocks_held), (12, 0));
    assert!(load.preempted > 0, "the pool was never full: {load:?}");
}

#[test]
fn smaller_caches_stay_near_the_exact_one() {
    let model = llama();
    let one = [(prompt(1, 40, 50), Sampling { max_new_tokens: 1, ..Sampling::greedy() })];
    let exact = together(&model, limits(), &one)[0].tokens[0].logprob.unwrap();
    for (cache_precision, tolerance) in [(CachePrecision::Bf16, 0.05), (CachePrecision::Int8, 0.1)] {
        let got = together(&model, Limits { cache_precision, ..limits() }, &one)[0].tokens[0].logprob.unwrap();
        assert!(got != exact, "{cache_precision:?} rounds nothing");
        assert!((got - exact).abs() < tolerance, "{cache_precision:?}: {got} for {exact}");
    }
}
