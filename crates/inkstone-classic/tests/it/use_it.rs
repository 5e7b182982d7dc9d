//! Evaluation, explanation, generation, classes.

use std::ops::ControlFlow;

use inkstone_classic::ngram::classes::{ClassModel, Classes};
use inkstone_classic::ngram::model::Table;
use inkstone_classic::ngram::{
    BEGIN, Drawing, END, Mixture, Model, Smoothing, Talk, Unit, Vocabulary, WordId, evaluate, explain, generate,
};
use inkstone_recipe::{Interrupt, Silent};

use crate::support::{fixture, ids, learn_file, random_lines, training, words};

fn model() -> (Model, Table) {
    let training = training(4, Smoothing::ModifiedKneserNey, &[], 1 << 24);
    let table = Table::of(learn_file(&fixture("train.txt"), &training)).expect("a table");
    (Model::exact(&table, Some(Unit::Words)), table)
}

#[test]
fn a_text_is_evaluated_as_kenlm_scores_it() {
    let (model, _) = model();
    let interrupt = Interrupt::default();
    let talk = Talk { progress: &Silent, interrupt: &interrupt };
    let on = |mixture| evaluate(&model, &words(), &fixture("test.txt"), mixture, talk).expect("figures");
    let evaluation = on(Mixture::default());
    let scores = std::fs::read_to_string(fixture("kenlm4_scores.json")).expect("the scores");
    let scores: Vec<Vec<(String, usize, f64)>> = serde_json::from_str(&scores).expect("rows of words");
    let scores = scores.concat();
    let nats = -scores.iter().map(|score| score.2).sum::<f64>() * std::f64::consts::LN_10;
    assert_eq!((evaluation.tokens, evaluation.sentences, evaluation.unknown), (scores.len() as u64, 103, 3));
    assert!((evaluation.loss - nats / scores.len() as f64).abs() < 1e-5);
    assert!((evaluation.perplexity - evaluation.loss.exp()).abs() < 1e-9);
    let bits = evaluation.loss * evaluation.tokens as f64 / std::f64::consts::LN_2 / evaluation.bytes as f64;
    assert!(
        (evaluation.bits_per_byte - bits).abs() < 1e-12 && evaluation.orders.iter().sum::<u64>() == evaluation.tokens
    );
    let cached = on(Mixture { cache: Some((200, 0.05)) });
    assert!(cached.loss != evaluation.loss && (cached.loss - evaluation.loss).abs() < 0.2);
}

#[test]
fn an_explanation_adds_up() {
    let (model, _) = model();
    let explained = explain(&model, &words(), "the old unheard stone sees", None).expect("an explanation");
    assert_eq!(
        explained.iter().map(|word| word.word.as_str()).collect::<Vec<_>>(),
        ["the", "old", "unheard", "stone", "sees", "</s>"]
    );
    for word in &explained {
        let sum: f64 = word.path.iter().map(|step| step.log10).sum();
        assert!((sum - word.log10).abs() < 1e-9, "{word:?}");
        let last = word.path.last().expect("a step");
        assert!(last.found && last.history.len() + 1 == word.order, "{word:?}");
    }
    assert!(explained[2].unknown && explained[2].order == 1 && explained[0].order == 2);
}

#[test]
fn the_same_seed_draws_the_same_words_in_the_models_proportions() {
    let (model, table) = model();
    let draw = |seed, temperature| {
        let drawing = Drawing { max_words: 1, temperature, top_k: None, top_p: None, seed };
        let mut drawn = None;
        generate(&model, &words(), "", drawing, |id, _| {
            drawn = Some(id);
            ControlFlow::Continue(())
        })
        .expect("a word");
        drawn.unwrap_or(END)
    };
    let the = model.vocabulary().id("the");
    let n = (0..4000).filter(|&seed| draw(seed, 1.0) == the).count() as f64 / 4000.0;
    let p = 10f64.powf(table.log10_probability(&[BEGIN, the]));
    assert!((n - p).abs() < 0.03, "{n} and {p}");
    assert!((0..20).all(|seed| draw(seed, 1.0) == draw(seed, 1.0) && draw(seed, 0.0) == draw(0, 0.0)));
}

#[test]
fn a_model_over_classes_sums_to_one() {
    let lines = random_lines(12, 500, 30);
    let mut vocabulary = Vocabulary::new();
    let sentences: Vec<Vec<WordId>> =
        lines.iter().map(|line| line.split_whitespace().map(|word| vocabulary.insert(word)).collect()).collect();
    let classes = Classes::find(&sentences, &vocabulary, 6, 10).expect("classes");
    assert_eq!(classes.members().len(), 6);
    let training = training(3, Smoothing::ModifiedKneserNey, &[], 1 << 22);
    let interrupt = Interrupt::default();
    let talk = Talk { progress: &Silent, interrupt: &interrupt };
    let model = ClassModel::train(&sentences, classes, &training, talk).expect("a model");
    for history in [vec![BEGIN], vec![BEGIN, 5], vec![7, 9, 4], ids(&vocabulary, "never")] {
        let words = (0..vocabulary.len() as WordId).filter(|&word| word != BEGIN);
        let sum: f64 = words.map(|word| 10f64.powf(model.log10_probability(&history, word))).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{history:?}: {sum}");
    }
    assert!(Classes::find(&sentences, &vocabulary, 0, 1).is_err());
}
