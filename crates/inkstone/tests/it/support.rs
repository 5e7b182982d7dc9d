//! A temporary place to run the program in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const TINY: &str = r#"name = "tiny"
seed = 7

[world]
kind = "world"
people = 2
places = 2
events = 1

[corpus]
kind = "corpus"
from = "world"
validation = 0.1

[chat]
kind = "chat"
from = "world"
validation = 0.1

[tokenizer]
kind = "tokenizer"
from = "corpus"
vocab_size = 400

[pretrain]
kind = "pretrain"
corpus = "corpus"
tokenizer = "tokenizer"
model = { architecture = "llama", hidden_size = 32, num_hidden_layers = 1, num_attention_heads = 2 }
steps = 12
batch_size = 2
context = 64
optimizer = { learning_rate = 3e-3 }
schedule = { kind = "constant", warmup = 2 }
checkpoint_every = 3

[model]
kind = "sft"
base = "pretrain"
chat = "chat"
steps = 8
batch_size = 2
context = 64
optimizer = { learning_rate = 2e-3 }
schedule = { kind = "constant", warmup = 2 }
checkpoint_every = 3

[evaluation]
kind = "evaluate"
model = "model"
questions = "world"
max_new_tokens = 2
"#;

/// The beginning of a recipe: the texts of a small world, and a tokenizer.
pub(crate) const TEXTS: &str = r#"name = "tiny"
seed = 7

[world]
kind = "world"
people = 3
places = 3
events = 1

[corpus]
kind = "corpus"
from = "world"
validation = 0.1

[tokenizer]
kind = "tokenizer"
from = "corpus"
vocab_size = 400
"#;

/// A working folder with a runs folder in it; both go when it is dropped.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
}

impl Place {
    /// An empty place.
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    /// A place with `recipe` in `tiny.toml`.
    pub(crate) fn with(recipe: &str) -> Self {
        let place = Self::new();
        place.write("tiny.toml", recipe);
        place
    }

    /// A place where the tiny recipe has run.
    pub(crate) fn trained() -> Self {
        let place = Self::with(TINY);
        place.ok(&["run", "tiny.toml"]);
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// The program, ready to be started here.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_inkstone"));
        command.args(args).current_dir(self.folder.path()).env("INKSTONE_RUNS", self.path("runs"));
        command.env_remove("RAYON_NUM_THREADS").stdin(Stdio::null());
        command
    }

    pub(crate) fn output(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// stdout and stderr of a call that must succeed.
    pub(crate) fn ok(&self, args: &[&str]) -> (String, String) {
        let (out, err, code) = texts(&self.output(args));
        assert_eq!(code, Some(0), "{args:?}:\n{out}\n{err}");
        (out, err)
    }

    /// stdout of a call that must succeed, as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(args).0;
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error}:\n{out}"))
    }

    /// stderr of a call that must fail properly, with all of `parts` in it.
    pub(crate) fn fails(&self, args: &[&str], parts: &[&str]) -> String {
        let output = assert_cmd::Command::from(self.command(args)).assert().code(2);
        let err = texts(output.get_output()).1;
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        for part in parts {
            assert!(err.contains(part), "{args:?}: no {part:?} in:\n{err}");
        }
        err
    }

    /// The folder that a stage's link leads to.
    pub(crate) fn artifact(&self, stage: &str) -> PathBuf {
        std::fs::canonicalize(self.path("runs/tiny").join(stage)).unwrap()
    }

    /// The content id of a stage.
    pub(crate) fn id(&self, stage: &str) -> String {
        self.artifact(stage).file_name().unwrap().to_str().unwrap().to_owned()
    }
}

pub(crate) fn texts(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

/// Turns one bit in the middle of a file around.
pub(crate) fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// Cuts a file to half its length.
pub(crate) fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// All files below `folder` whose name ends in `end`, sorted.
pub(crate) fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files(&path, end));
        } else if path.to_string_lossy().ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}
