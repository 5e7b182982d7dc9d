//! Blocks are shared, forgotten and given back.

use inkstone_engine::{Cancel, Limits, Reason, Request, Sampling, Scheduler};

use crate::support::{Ear, limits, llama, prompt, run_to_end, sampling, together};

#[test]
fn a_shared_beginning_is_computed_once() {
    let model = llama();
    let beginning = prompt(1, 160, 50);
    let asks = |n: u32| ([&beginning[..], &[n]].concat(), sampling(u64::from(n), 4));
    let crowd: Vec<_> = (0..16).map(asks).collect();
    let mut scheduler = Scheduler::new(&model, limits()).unwrap();
    let ears: Vec<Ear> = crowd.iter().map(|_| Ear::default()).collect();
    for (ear, (prompt, sampling)) in ears.iter().zip(&crowd) {
        scheduler.submit(Request { logprobs: Some(2), ..ear.request(prompt, sampling.clone()) }).unwrap();
    }
    run_to_end(&mut scheduler);
    let load = scheduler.load();
    assert_eq!(load.prompt_tokens, 160 + 16, "160 tokens once, one of each request");
    assert_eq!(load.cached_tokens, 15 * 160);
    assert_eq!((load.blocks_held, ears[15].heard().finished().cached_tokens), (0, 160));
    for (ear, one) in ears.iter().zip(crowd.chunks(1)) {
        assert_eq!(ear.heard().tokens, together(&model, limits(), one)[0].tokens);
    }
}

#[test]
fn an_answer_is_found_again_when_the_conversation_goes_on() {
    let model = llama();
    let mut scheduler = Scheduler::new(&model, limits()).unwrap();
    let first = Ear::default();
    let start = prompt(2, 20, 50);
    scheduler.submit(first.request(&start, sampling(1, 30))).unwrap();
    run_to_end(&mut scheduler);
    let (second, goes_on) = (Ear::default(), [start, first.heard().ids(), vec![7]].concat());
    scheduler.submit(second.request(&goes_on, sampling(2, 5))).unwrap();
    run_to_end(&mut scheduler);
    assert_eq!(second.heard().finished().cached_tokens, 48, "three blocks of the 49 computed tokens");
    assert_eq!(second.heard().tokens.len(), 5);
}

#[test]
fn old_texts_are_forgotten_for_new_ones() {
    let model = llama();
    let block = 2 * 2 * 2 * 6 * 16 * 4;
    let mut scheduler = Scheduler::new(&model, Limits { cache_bytes: 10 * block, ..limits() }).unwrap();
    for n in 0..20 {
        let ear = Ear::default();
        scheduler.submit(ear.request(&prompt(n, 100, 50), sampling(1, 10))).unwrap();
        run_to_end(&mut scheduler);
        assert_eq!(ear.heard().finished().reason, Reason::Length);
    }
    let load = scheduler.load();
    assert_eq!((load.blocks_held, load.preempted), (0, 0));
    assert!(load.blocks_idle > 0 && load.blocks_idle <= 10);
}

#[test]
fn who_goes_away_frees_blocks_at_once() {
    let model = llama();
    let mut scheduler = Scheduler::new(&model, limits()).unwrap();
    let (stays, goes, waits) = (Ear::default(), Ear::default(), Ear::default());
    let cancel = Cancel::default();
    scheduler.submit(stays.request(&prompt(1, 20, 50), sampling(1, 60))).unwrap();
    let request = goes.request(&prompt(2, 30, 50), sampling(1, 100));
    scheduler.submit(Request { cancel: cancel.clone(), ..request }).unwrap();
    for _ in 0..10 {
        scheduler.step();
    }
    let before = scheduler.load();
    cancel.cancel();
    let late = waits.request(&prompt(3, 5, 50), sampling(1, 5));
    scheduler.submit(Request { deadline: Some(std::time::Instant::now()), ..late }).unwrap();
    scheduler.step();
    let after = scheduler.load();
    assert_eq!((before.running, after.running), (2, 1));
    assert!(after.blocks_held < before.blocks_held);
    assert_eq!(goes.heard().finished().reason, Reason::Cancelled);
    assert_eq!(waits.heard().finished().reason, Reason::Deadline);
    run_to_end(&mut scheduler);
    assert_eq!(stays.heard().tokens.len(), 60);
    assert_eq!(scheduler.load().blocks_held, 0);
}

#[test]
fn what_can_never_be_held_is_refused() {
    let model = llama();
    let mut scheduler = Scheduler::new(&model, Limits { cache_bytes: 1, waiting: 1, ..limits() }).unwrap();
    let mut refused = |prompt: &[u32], max_new_tokens| {
        let request = Ear::default().request(prompt, Sampling { max_new_tokens, ..Sampling::greedy() });
        scheduler.submit(request).unwrap_err().to_string()
    };
    assert!(refused(&prompt(1, 20, 50), 100).contains("room for 32"));
    assert!(refused(&[], 1).contains("no tokens"));
    assert!(refused(&[77], 1).contains("77"));
    assert!(refused(&prompt(1, 200, 50), 1).contains("200"));
    scheduler.submit(Ear::default().request(&[1], Sampling::greedy())).unwrap_err();
    scheduler.submit(Ear::default().request(&[1], sampling(1, 5))).unwrap();
    let busy = scheduler.submit(Ear::default().request(&[1], sampling(1, 5))).unwrap_err();
    assert!(busy.to_string().contains("waiting"), "{busy}");
}
