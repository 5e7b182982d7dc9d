//! N-gram models and word vectors, as text and binary.

use std::path::Path;

use inkstone_classic::ngram::arpa::write_arpa;
use inkstone_classic::ngram::count::Room;
use inkstone_classic::ngram::model::{Table, write_model};
use inkstone_classic::ngram::{Corpus, Estimate, Model, Smoothing, Splitter, Talk, Training, Unit, WordId, estimate};
use inkstone_classic::word2vec::{Format, Space, Vectors, analogies, read_vectors, similarity, write_vectors};
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

pub(crate) const VECTORS: Target = Target {
    name: "vectors",
    run: |data| {
        in_folder("vectors", data, |folder| {
            if let Ok(vectors) = read_vectors(&folder.join("vectors")) {
                assert!(vectors.values().len() <= data.len() && vectors.size() > 0);
            }
        });
    },
    seeds: || {
        let write = |format| move |path: &Path| write_vectors(path, &vectors(), format).expect("room for a small file");
        vec![file(write(Format::Text)), file(write(Format::Binary))]
    },
};

pub(crate) const JUDGEMENTS: Target = Target {
    name: "judgements",
    run: |data| {
        in_folder("judgements", data, |folder| {
            let (path, space) = (folder.join("judgements"), Space::new(vectors()));
            drop(analogies(&space, &path, &mut |_| {}));
            drop(similarity(&space, &path));
        });
    },
    seeds: || vec![b": section\na b c \xe7\xa0\x9a\n".to_vec(), b"a b 3.5\na c 2\nb c 1\na d 4\nc d 7\n".to_vec()],
};

/// A few vectors.
fn vectors() -> Vectors {
    let words = ["a", "b", "c", "砚", "d"].map(Into::into).to_vec();
    Vectors::new(words, 3, (0..15).map(|n| (n as f32 * 1.3).sin()).collect()).expect("three numbers a word")
}

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
