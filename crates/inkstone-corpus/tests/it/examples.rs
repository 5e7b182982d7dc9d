//! Examples of tasks, and how they are split.

use std::collections::BTreeSet;

use inkstone_corpus::Split;
use inkstone_corpus::examples::{ExamplesStage, read_examples};
use serde_json::json;

use crate::support::{Desk, real_data};

/// English sentences that stand on both sides of a split, and pairs in all.
fn sentences_on_both_sides(desk: &Desk, path: &str) -> (usize, usize) {
    desk.run::<ExamplesStage>(json!({ "paths": [path], "parts": ["text", "answer"], "validation": 0.03 })).unwrap();
    let texts = |split| -> Vec<String> {
        let read = read_examples(&desk.out(), split).unwrap();
        read.map(|example| example.unwrap().task.text).collect()
    };
    let (learnt, held_out) = (texts(Split::Train), texts(Split::Validation));
    let all: BTreeSet<&String> = learnt.iter().collect();
    assert!(held_out.len() * 50 > learnt.len(), "{} of {}", held_out.len(), learnt.len());
    (held_out.iter().filter(|text| all.contains(text)).count(), learnt.len() + held_out.len())
}

#[test]
fn a_sentence_with_several_translations_stands_on_one_side() {
    let line = |n: usize| format!("Sentence {}.\t句子 {n}。\n", n / 3);
    let desk = Desk::with(&[("pairs.txt", (0..3000).map(line).collect::<String>().as_bytes())]);
    assert_eq!(sentences_on_both_sides(&desk, "pairs.txt"), (0, 3000));
}

#[test]
fn translations_of_real_sentences_stand_on_one_side() {
    let Some(data) = real_data("translations_of_real_sentences_stand_on_one_side") else {
        return;
    };
    let (both, pairs) = sentences_on_both_sides(&Desk::new(), data.join("tatoeba_en_zh.txt").to_str().unwrap());
    assert!(both == 0 && pairs > 20_000, "{both} of {pairs}");
}
