//! Malformed files and settings that can't work: an error that names the place, and no panic.

use std::path::Path;

use inkstone_classic::ClassicError;
use inkstone_classic::ngram::arpa::read_arpa;
use inkstone_classic::ngram::count::{AdjustSettings, Entry};
use inkstone_classic::ngram::count::{Key, Packing, Spool, adjust};
use inkstone_classic::ngram::model::write_model;
use inkstone_classic::ngram::{Corpus, Model, Smoothing, Splitter, Talk, Unit};
use inkstone_recipe::{Interrupt, Silent};

use crate::support::{estimated, random_lines, room, table, training, words};

const GOOD: &str = "\\data\\\nngram 1=4\nngram 2=1\n\n\\1-grams:\n-1\t<unk>\n-99\t<s>\t-0.3\n-0.5\t</s>\n-0.5\ta\t-0.3\n\n\\2-grams:\n-0.2\t<s> a\n\n\\end\\\n";

fn read(text: &[u8]) -> Result<(), ClassicError> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.arpa");
    std::fs::write(&path, text).expect("room");
    read_arpa(&path).map(drop)
}

/// Replaces a part of a good file; the line that the error must name.
fn assert_line(from: &str, to: &str, line: u64) {
    assert!(GOOD.contains(from));
    match read(GOOD.replacen(from, to, 1).as_bytes()) {
        Err(ClassicError::Arpa { line: named, .. }) => assert_eq!(named, line, "{from:?} to {to:?}"),
        other => panic!("{from:?} to {to:?}: {other:?}"),
    }
}

#[test]
fn malformed_arpa_files_are_refused_with_their_line() {
    read(GOOD.as_bytes()).expect("a good file");
    assert_line("\\data\\\n", "hello\n", 15);
    assert_line("ngram 2=1", "ngram 3=1", 3);
    assert_line("ngram 2=1", "ngram 2=99999999999999999999", 3);
    assert_line("ngram 1=4", "ngram 1=18446744073709551615", 10);
    assert_line("-0.5\ta", "minus\ta", 9);
    assert_line("-0.5\ta", "nan\ta", 9);
    assert_line("-0.5\ta", "0.5\ta", 9);
    assert_line("-0.5\ta\t-0.3", "-0.5\ta\tb", 9);
    assert_line("-0.5\ta", "-0.5\t</s>", 9);
    assert_line("<s> a", "<s> b", 12);
    assert_line("<s> a", "a", 12);
    assert_line("<s> a", "<s> a -0.1", 12);
    assert_line("\\2-grams:", "\\3-grams:", 11);
    assert_line("ngram 2=1", "ngram 2=2", 13);
    assert_line("\\end\\", "the end", 14);
    assert_line("ngram 2=1\n", "ngram 2=2\n", 13);
    let twice = GOOD.replace("ngram 2=1", "ngram 2=2").replace("-0.2\t<s> a\n", "-0.2\t<s> a\n-0.3\t<s> a\n");
    assert!(read(twice.as_bytes()).expect_err("an n-gram twice").to_string().contains("twice"));
    let mut not_utf8 = GOOD.as_bytes().to_vec();
    let at = GOOD.find("\ta\t").expect("a word") + 1;
    not_utf8[at] = 0xff;
    assert!(matches!(read(&not_utf8), Err(ClassicError::Arpa { line: 9, .. })));
    for cut in 0..GOOD.len() - 6 {
        assert!(read(&GOOD.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
}

#[test]
fn damaged_binary_models_are_refused_or_answer_something() {
    let table = table(&random_lines(1, 60, 12), &training(3, Smoothing::WittenBell, &[], 1 << 20));
    let folder = tempfile::tempdir().expect("a folder");
    let (path, broken) = (folder.path().join("model"), folder.path().join("broken"));
    for bits in [None, Some(32), Some(8)] {
        write_model(&path, &table, Some(Unit::Words), bits).expect("a model");
        let bytes = std::fs::read(&path).expect("bytes");
        for at in (0..bytes.len()).step_by(bytes.len() / 400 + 1) {
            std::fs::write(&broken, &bytes[..at]).expect("room");
            ask(&broken);
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&broken, flipped).expect("room");
            ask(&broken);
        }
        for version in [1, 99] {
            let mut other = bytes.clone();
            other[8] = version;
            std::fs::write(&broken, other).expect("room");
            let error = Model::open(&broken).expect_err("another version").to_string();
            assert!(error.contains("version"), "{error}");
        }
    }
}

fn ask(path: &Path) {
    if let Ok(model) = Model::open(path) {
        let scorer = model.scorer();
        let mut state = scorer.begin();
        scorer.score_all(&[3, 4, 5, 2, 4, 4, 1_000_000], &mut state, |_, _| ());
    }
}

#[test]
fn texts_that_hold_nothing_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("text");
    let interrupt = Interrupt::default();
    let talk = Talk { progress: &Silent, interrupt: &interrupt };
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("room");
        let mut corpus = Corpus::new(room(1 << 20));
        corpus.add_file(&path, &words(), talk)?;
        corpus.check(&path).map(|()| corpus)
    };
    assert!(matches!(read(b""), Err(ClassicError::Empty { .. })));
    assert!(matches!(read(b"a\nb\xff\n"), Err(ClassicError::Text { line: 2, .. })));
    let only_empty = read(b"\n\n\n").expect("empty sentences are sentences");
    assert_eq!(only_empty.sentences.tokens(), 3);
    let model = estimated(only_empty, &training(3, Smoothing::Katz, &[], 1 << 20));
    assert_eq!(model.expect("a model of silence").counts, [3, 1, 0]);
}

#[test]
fn settings_that_can_not_work_are_refused() {
    for (order, smoothing, prune) in [
        (0, Smoothing::Katz, vec![]),
        (33, Smoothing::Katz, vec![]),
        (3, Smoothing::AddK(0.0), vec![]),
        (3, Smoothing::AddK(f64::NAN), vec![]),
        (3, Smoothing::Katz, vec![1, 1, 1]),
        (3, Smoothing::Katz, vec![0, 2, 1]),
    ] {
        let mut corpus = Corpus::new(room(1 << 20));
        corpus.end().expect("room");
        let result = estimated(corpus, &training(order, smoothing, &prune, 1 << 20));
        assert!(matches!(result, Err(ClassicError::Setting { .. })), "{order} {smoothing:?} {prune:?}");
    }
    assert!(Splitter::new(Unit::Tokens, None).is_err());
}

/// More occurrences than 32 bits hold, as if that much had been read.
#[test]
fn counts_beyond_32_bits_are_counted() {
    let packing = Packing { bits: 3 };
    let many = u64::from(u32::MAX) * 3;
    let key = |words: [u32; 2]| words.iter().fold(u64::ZERO, |key, &word| packing.push(key, word, 2));
    let mut spool: Spool<u64, u64> = Spool::new(room(1 << 10), packing.bytes(2));
    let mut ngrams = [(key([3, 4]), many), (key([1, 3]), many), (key([4, 2]), many), (key([3, 3]), 1)];
    ngrams.sort_unstable();
    for (key, count) in ngrams {
        spool.push(key, count).expect("room");
    }
    let settings = AdjustSettings { order: 2, vocabulary: 5, continuations: false, prune: &[] };
    let adjusted = adjust(spool.read().expect("entries"), &settings, packing, &room(1 << 20)).expect("counts");
    assert_eq!(adjusted.unigrams, [0, 0, many, many + 1, many]);
    let mut bigrams = adjusted.orders;
    let counts: Vec<u64> = bigrams
        .remove(0)
        .sorted()
        .expect("entries")
        .map(|entry| {
            let Entry { value, .. } = entry.expect("an entry");
            value
        })
        .collect();
    assert_eq!(counts, [many, 1, many, many]);
}
