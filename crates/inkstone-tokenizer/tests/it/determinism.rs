//! The same texts give the same bytes, whatever the threads.

use std::process::Command;

use inkstone_tokenizer::Algorithm;

use crate::support::{ALL, config, files, texts, try_train};

/// A hash of what each algorithm gives for the texts of the tests.
fn fingerprints() -> String {
    let mut lines = String::new();
    for algorithm in ALL {
        let folder = tempfile::tempdir().unwrap();
        try_train(&config(algorithm), &texts()).unwrap().save(folder.path()).unwrap();
        for (name, bytes) in files(folder.path()) {
            let sum = bytes
                .iter()
                .fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            lines.push_str(&format!("{algorithm:?} {name} {sum:016x}\n"));
        }
    }
    lines
}

/// Run by [`ten_trainings_at_different_thread_counts`] in processes of their own: hash seeds and
/// thread pools are a process's.
#[test]
fn fingerprint_of_this_process() {
    if let Ok(path) = std::env::var("INKSTONE_FINGERPRINT") {
        std::fs::write(path, fingerprints()).unwrap();
    }
}

#[test]
fn ten_trainings_at_different_thread_counts() {
    let expected = fingerprints();
    assert!(expected.lines().count() >= 3 * ALL.len(), "{expected}");
    let folder = tempfile::tempdir().unwrap();
    for run in 0..10 {
        let path = folder.path().join(run.to_string());
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "determinism::fingerprint_of_this_process", "--nocapture"])
            .env("INKSTONE_FINGERPRINT", &path)
            .env("RAYON_NUM_THREADS", if run % 2 == 0 { "1" } else { "2" })
            .env("TOKENIZERS_PARALLELISM", if run % 4 < 2 { "true" } else { "false" })
            .stdout(std::process::Stdio::null())
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), expected, "run {run}");
    }
}

#[test]
fn the_order_of_the_texts_does_not_matter() {
    for algorithm in [Algorithm::Bpe, Algorithm::Unigram, Algorithm::Wordpiece] {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let mut texts = texts();
        try_train(&config(algorithm), &texts).unwrap().save(a.path()).unwrap();
        texts.reverse();
        try_train(&config(algorithm), &texts).unwrap().save(b.path()).unwrap();
        assert_eq!(files(a.path()), files(b.path()), "{algorithm:?}");
    }
}
