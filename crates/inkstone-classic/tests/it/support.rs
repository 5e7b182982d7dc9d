use std::path::{Path, PathBuf};

use inkstone_classic::ClassicError;
use inkstone_classic::ngram::count::Room;
use inkstone_classic::ngram::model::Table;
use inkstone_classic::ngram::{
    Corpus, Estimate, Smoothing, Splitter, Talk, Training, Unit, Vocabulary, WordId, estimate,
};
use inkstone_recipe::{Interrupt, Silent};

pub(crate) const ALL: [Smoothing; 6] = [
    Smoothing::ModifiedKneserNey,
    Smoothing::WittenBell,
    Smoothing::AbsoluteDiscounting,
    Smoothing::AddK(0.1),
    Smoothing::Katz,
    Smoothing::StupidBackoff(0.4),
];

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ngram").join(name)
}

pub(crate) fn room(bytes: usize) -> Room {
    Room { folder: std::env::temp_dir(), bytes }
}

pub(crate) fn training(order: usize, smoothing: Smoothing, prune: &[u64], bytes: usize) -> Training {
    Training { order, smoothing, prune: prune.to_vec(), room: room(bytes) }
}

/// A model of sentences of words.
pub(crate) fn learn(lines: &[String], training: &Training) -> Estimate {
    let mut corpus = Corpus::new(training.room.clone());
    for line in lines {
        corpus.push(line, &words()).expect("words");
        corpus.end().expect("room");
    }
    estimated(corpus, training).expect("a model")
}

pub(crate) fn learn_file(path: &Path, training: &Training) -> Estimate {
    let mut corpus = Corpus::new(training.room.clone());
    let interrupt = Interrupt::default();
    corpus.add_file(path, &words(), Talk { progress: &Silent, interrupt: &interrupt }).expect("a text");
    estimated(corpus, training).expect("a model")
}

pub(crate) fn estimated(corpus: Corpus, training: &Training) -> Result<Estimate, ClassicError> {
    let interrupt = Interrupt::default();
    let talk = Talk { progress: &Silent, interrupt: &interrupt };
    estimate(corpus.sentences, corpus.vocabulary, training, talk)
}

pub(crate) fn table(lines: &[String], training: &Training) -> Table {
    Table::of(learn(lines, training)).expect("a table")
}

pub(crate) fn words() -> Splitter {
    Splitter::new(Unit::Words, None).expect("no tokenizer needed")
}

/// The ids of a line's words; what is not known is `<unk>`.
pub(crate) fn ids(vocabulary: &Vocabulary, line: &str) -> Vec<WordId> {
    line.split_whitespace().map(|word| vocabulary.id(word)).collect()
}

/// Lines of words from a small vocabulary in which a few words make up most of the text.
pub(crate) fn random_lines(seed: u64, lines: usize, words: u64) -> Vec<String> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |n: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % n
    };
    let mut line = move || {
        let len = draw(12);
        let words: Vec<String> = (0..len)
            .map(|_| {
                let n = draw(words) + 1;
                format!("w{}", draw(n))
            })
            .collect();
        words.join(" ")
    };
    (0..lines).map(|_| line()).collect()
}
