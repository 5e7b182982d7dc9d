mod formats;
mod judging;
mod training;

use std::path::{Path, PathBuf};

/// A file of `fixtures/word2vec`.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/word2vec").join(name)
}

/// A folder with `content` in the file `name`, and that file's path.
fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}
