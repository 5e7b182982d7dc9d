//! Query structures against the sorted lists that they were built from.

use inkstone_classic::ngram::arpa::{read_arpa, write_arpa};
use inkstone_classic::ngram::model::{Probing, Slot32, State, Structure, Table, Trie, write_model};
use inkstone_classic::ngram::{BEGIN, END, Model, Smoothing, Unit, WordId, prune};

use crate::support::{fixture, ids, learn_file, random_lines, table, training};

/// Scores of every word of some text, in the order in which they were found.
fn scores(model: &Model, sentences: &[Vec<WordId>]) -> Vec<(f64, usize)> {
    let scorer = model.scorer();
    let (mut state, mut scores) = (scorer.begin(), Vec::new());
    let words: Vec<WordId> = sentences.iter().flat_map(|words| words.iter().copied().chain([END])).collect();
    scorer.score_all(&words, &mut state, |_, score| scores.push((score.log10, score.order)));
    scores
}

/// The same from the definition of backing off.
fn expected(table: &Table, sentences: &[Vec<WordId>]) -> Vec<(f64, usize)> {
    let mut scores = Vec::new();
    for sentence in sentences {
        let words = [&[BEGIN], sentence.as_slice(), &[END]].concat();
        for end in 1..words.len() {
            let ngram = &words[(end + 1).saturating_sub(table.order())..=end];
            let order = (1..=ngram.len()).rev().find(|&n| table.find(&ngram[ngram.len() - n..]).is_some());
            scores.push((table.log10_probability(ngram), order.expect("every word is a unigram")));
        }
    }
    scores
}

fn assert_close(scores: &[(f64, usize)], expected: &[(f64, usize)], tolerance: f64) {
    assert_eq!(scores.len(), expected.len());
    for (own, other) in scores.iter().zip(expected) {
        assert!((own.0 - other.0).abs() < tolerance && own.1 == other.1, "{own:?} and {other:?}");
    }
}

fn held_out(table: &Table) -> Vec<Vec<WordId>> {
    random_lines(77, 300, 45).iter().map(|line| ids(table.vocabulary(), line)).collect()
}

#[test]
fn every_structure_gives_the_scores_of_the_lists() {
    for order in [1, 2, 3, 5] {
        let table = table(&random_lines(3, 400, 40), &training(order, Smoothing::ModifiedKneserNey, &[], 1 << 24));
        let (sentences, unit) = (held_out(&table), Some(Unit::Words));
        let expected = expected(&table, &sentences);
        assert_close(&scores(&Model::exact(&table, unit), &sentences), &expected, 1e-12);
        let probing = Model::new(&table, unit, Structure::Probing(Probing::<Slot32>::new(&table)));
        assert_close(&scores(&probing, &sentences), &expected, 1e-5);
        let trie = Model::new(&table, unit, Structure::Trie(Trie::new(&table, 32)));
        assert_eq!(scores(&trie, &sentences), scores(&probing, &sentences));
        let coarse = Model::new(&table, unit, Structure::Trie(Trie::new(&table, 8)));
        assert_close(&scores(&coarse, &sentences), &expected, 0.2);
    }
}

#[test]
fn files_give_what_was_written_and_equal_models_equal_bytes() {
    let table = table(&random_lines(4, 300, 30), &training(3, Smoothing::WittenBell, &[], 1 << 24));
    let folder = tempfile::tempdir().expect("a folder");
    let sentences = held_out(&table);
    for (name, bits) in [("probing", None), ("trie", Some(32)), ("coarse", Some(6))] {
        let (path, again) = (folder.path().join(name), folder.path().join("again"));
        write_model(&path, &table, Some(Unit::Characters), bits).expect("a model");
        write_model(&again, &table, Some(Unit::Characters), bits).expect("a model");
        assert_eq!(std::fs::read(&path).expect("bytes"), std::fs::read(&again).expect("bytes"));
        let model = Model::open(&path).expect("our own file");
        assert_eq!((model.unit(), model.order()), (Some(Unit::Characters), 3));
        let memory = match bits {
            None => Structure::Probing(Probing::new(&table)),
            Some(bits) => Structure::Trie(Trie::new(&table, bits)),
        };
        let memory = Model::new(&table, None, memory);
        assert_eq!(scores(&model, &sentences), scores(&memory, &sentences));
    }
}

/// KenLM's pruned file lacks nothing; without some endings it would be as SRILM writes them.
#[test]
fn missing_endings_change_no_score() {
    let path = fixture("kenlm4.arpa");
    let text = std::fs::read_to_string(&path).expect("a text");
    let cut = |line: &&str| !line.contains("\tthe old ") && !line.contains("\tthe stone ");
    let gone = |order: usize| {
        let section = text.split(&format!("\\{order}-grams:")).nth(1).and_then(|rest| rest.split("\n\n").next());
        section.map_or(0, |section| section.lines().filter(|line| !cut(line)).count())
    };
    // Only trigrams go: the 4-grams that end with them stay.
    let (before, rest) = text.split_once("\\3-grams:").expect("trigrams");
    let (trigrams, rest) = rest.split_once("\n\n").expect("4-grams");
    let kept: Vec<&str> = trigrams.lines().filter(cut).collect();
    let before = before.replace("ngram 3=1073", &format!("ngram 3={}", 1073 - gone(3)));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cut.arpa");
    std::fs::write(&path, format!("{before}\\3-grams:{}\n\n{rest}", kept.join("\n"))).expect("room");
    let (table, _) = read_arpa(&path).expect("a file with gaps");
    assert!(gone(3) > 0);
    let text = std::fs::read_to_string(fixture("test.txt")).expect("the text");
    let sentences: Vec<Vec<WordId>> = text.lines().map(|line| ids(table.vocabulary(), line)).collect();
    let expected: Vec<f64> = expected(&table, &sentences).iter().map(|score| score.0).collect();
    for (score, expected) in scores(&Model::exact(&table, None), &sentences).iter().zip(expected) {
        assert!((score.0 - expected).abs() < 1e-12);
    }
}

#[test]
fn entropy_pruning_keeps_sums_and_costs_little() {
    let lines = random_lines(8, 1500, 60);
    let table = table(&lines, &training(3, Smoothing::ModifiedKneserNey, &[], 1 << 24));
    let sentences: Vec<Vec<WordId>> =
        random_lines(81, 300, 60).iter().map(|line| ids(table.vocabulary(), line)).collect();
    let loss = |table: &Table| {
        let scores = scores(&Model::exact(table, None), &sentences);
        -scores.iter().map(|score| score.0).sum::<f64>() / scores.len() as f64
    };
    let size = |table: &Table| table.counts().iter().sum::<u64>();
    assert_eq!(size(&prune(&table, 0.0).expect("a table")), size(&table));
    let (light, heavy) = (prune(&table, 1e-6).expect("a table"), prune(&table, 1e-4).expect("a table"));
    assert!(
        size(&heavy) < size(&light) && size(&light) < size(&table),
        "{} {} {}",
        size(&heavy),
        size(&light),
        size(&table)
    );
    assert!((loss(&light) - loss(&table)).abs() < 0.02 && (loss(&heavy) - loss(&table)).abs() < 0.1);
    for table in [&light, &heavy] {
        for history in [vec![], vec![BEGIN], vec![4], vec![BEGIN, 5], vec![4, 3], vec![7, 7]] {
            let words = (0..table.vocabulary().len() as WordId).filter(|&word| word != BEGIN);
            let sum: f64 =
                words.map(|word| 10f64.powf(table.log10_probability(&[&history[..], &[word]].concat()))).sum();
            assert!((sum - 1.0).abs() < 1e-9, "{history:?}: {sum}");
        }
    }
}

#[test]
fn the_state_forgets_what_can_not_matter() {
    let table = table(&["a b c d".to_owned(), "a b c e".to_owned()], &training(4, Smoothing::WittenBell, &[], 1 << 20));
    let model = Model::exact(&table, None);
    let (scorer, mut after) = (model.scorer(), State::default());
    scorer.score(&scorer.begin(), model.vocabulary().id("never"), &mut after);
    assert!(after.words().is_empty());
}

#[test]
fn sums_are_one_through_an_arpa_file_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.arpa");
    let training = training(4, Smoothing::ModifiedKneserNey, &[], 1 << 24);
    write_arpa(&path, Unit::Words, learn_file(&fixture("train.txt"), &training)).expect("an ARPA file");
    let model = Model::open(&path).expect("our own file");
    let (scorer, mut after) = (model.scorer(), State::default());
    let mut before = scorer.begin();
    for word in ids(model.vocabulary(), "the old stone sees") {
        let words = (0..model.vocabulary().len() as WordId).filter(|&word| word != BEGIN);
        let sum: f64 = words.map(|word| 10f64.powf(scorer.score(&before, word, &mut after).log10)).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{sum}");
        scorer.score(&before, word, &mut after);
        std::mem::swap(&mut before, &mut after);
    }
}
