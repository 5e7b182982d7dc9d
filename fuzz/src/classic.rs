//! N-gram models, as text and binary.

use std::path::Path;

use inkstone_classic::ngram::arpa::write_arpa;
use inkstone_classic::ngram::count::Room;
use inkstone_classic::ngram::model::{Table, write_model};
use inkstone_classic::ngram::{Corpus, Estimate, Model, Smoothing, Splitter, Talk, Training, Unit, WordId, estimate};
use inkstone_recipe::{Interrupt, Silent};

use super::{Target, in_folder};

pub(crate) const ARPA: Target = Target {
    name: "arpa",
    run: |data| in_folder("model.arpa", data, |folder| ask(&folder.join("model.arpa"))),
    seeds: || vec![file(|path| write_arpa(path, Unit::Words, good()).expect("room for a small model"))],
};

pub(crate) const NGRAM: Target = Target {
    name: "ngram",
    run: |data| in_folder("model.ngram", data, |folder| ask(&folder.join("model.ngram"))),
    seeds: || {
        let table = Table::of(good()).expect("a small model");
        let write = |bits| {
            let table = &table;
            move |path: &Path| write_model(path, table, Some(Unit::Words), bits).expect("room for a small model")
        };
        vec![file(write(None)), file(write(Some(32))), file(write(Some(5)))]
    },
};

fn file(write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model");
    write(&path);
    std::fs::read(path).expect("the file just written")
}

fn good() -> Estimate {
    let room = Room { folder: std::env::temp_dir(), bytes: 1 << 20 };
    let splitter = Splitter::new(Unit::Words, None).expect("no tokenizer needed");
    let mut corpus = Corpus::new(room.clone());
    for line in ["the baker sees the river", "the river sees 砚台", "a baker 砚台 a river", ""] {
        corpus.push(line, &splitter).expect("words");
        corpus.end().expect("room");
    }
    let training = Training { order: 3, smoothing: Smoothing::ModifiedKneserNey, prune: Vec::new(), room };
    let interrupt = Interrupt::default();
    let talk = Talk { progress: &Silent, interrupt: &interrupt };
    estimate(corpus.sentences, corpus.vocabulary, &training, talk).expect("a small model")
}

/// Opens a model, and asks it for words that it has and has not.
fn ask(path: &Path) {
    let Ok(model) = Model::open(path) else { return };
    let scorer = model.scorer();
    let mut state = scorer.begin();
    let words: Vec<WordId> = (0..12).chain([2, 3, 4, 3, 3, u32::MAX]).collect();
    scorer.score_all(&words, &mut state, |_, _| ());
    let _ = scorer.ngram(&words[3..6]);
}
