//! What KenLM makes of the same text (`fixtures/scripts/ngram_fixture.py`).

use inkstone_classic::ngram::arpa::{read_arpa, write_arpa};
use inkstone_classic::ngram::model::Table;
use inkstone_classic::ngram::{BEGIN, END, Smoothing, Unit, WordId};

use crate::support::{fixture, ids, learn_file, training};

/// KenLM computes in single precision and writes seven digits.
const TOLERANCE: f64 = 1e-6;

fn ours(order: usize, prune: &[u64]) -> Table {
    let training = training(order, Smoothing::ModifiedKneserNey, prune, 1 << 24);
    Table::of(learn_file(&fixture("train.txt"), &training)).expect("a table")
}

fn assert_same(ours: &Table, theirs: &Table) {
    assert_eq!(ours.counts(), theirs.counts());
    for (block, order) in theirs.blocks().iter().zip(1..) {
        for (i, words) in block.words.chunks(order).enumerate() {
            let own: Vec<WordId> =
                words.iter().map(|&word| ours.vocabulary().id(theirs.vocabulary().word(word))).collect();
            let at = ours.find(&own).expect("the same n-grams");
            let own = &ours.blocks()[order - 1];
            let differs = |a: f64, b: f64| (a - b).abs() > TOLERANCE;
            let pairs = (
                own.log10_probability[at],
                block.log10_probability[i],
                own.log10_back_off[at],
                block.log10_back_off[i],
            );
            assert!(!differs(pairs.0, pairs.1) && !differs(pairs.2, pairs.3), "{words:?}: {pairs:?}");
        }
    }
}

#[test]
fn every_ngram_has_kenlms_probability_and_back_off_weight() {
    let (theirs, unit) = read_arpa(&fixture("kenlm4.arpa")).expect("KenLM's file");
    assert_eq!(unit, None);
    assert_same(&ours(4, &[]), &theirs);
}

#[test]
fn so_have_those_that_pruning_keeps() {
    let (theirs, _) = read_arpa(&fixture("kenlm3_pruned.arpa")).expect("KenLM's file");
    assert_same(&ours(3, &[0, 1, 2]), &theirs);
}

#[test]
fn every_word_of_a_new_text_has_kenlms_score() {
    let table = ours(4, &[]);
    let scores = std::fs::read_to_string(fixture("kenlm4_scores.json")).expect("the scores");
    let scores: Vec<Vec<(String, usize, f64)>> = serde_json::from_str(&scores).expect("rows of words");
    let mut scores = scores.concat().into_iter();
    for line in std::fs::read_to_string(fixture("test.txt")).expect("the text").lines() {
        let words = [&[BEGIN], ids(table.vocabulary(), line).as_slice(), &[END]].concat();
        for end in 1..words.len() {
            let (word, _, theirs) = scores.next().expect("a score for each word");
            let own = table.log10_probability(&words[(end + 1).saturating_sub(4)..=end]);
            assert!((own - theirs).abs() < TOLERANCE, "{word} in {line:?}: {own} and {theirs}");
        }
    }
    assert!(scores.next().is_none());
}

#[test]
fn arpa_survives_a_round_trip() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("own.arpa");
    let training = training(4, Smoothing::ModifiedKneserNey, &[], 1 << 24);
    write_arpa(&path, Unit::Words, learn_file(&fixture("train.txt"), &training)).expect("an ARPA file");
    let (back, unit) = read_arpa(&path).expect("our own file");
    assert_eq!(unit, Some(Unit::Words));
    assert_same(&ours(4, &[]), &back);
}
