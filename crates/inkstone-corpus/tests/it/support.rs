//! A folder to work in, stages run in it, and progress that is remembered.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use inkstone_corpus::chat::{Conversation, read_conversations};
use inkstone_corpus::{ChatStage, CorpusStage, Document, Split, read_documents};
use inkstone_recipe::{Artifact, Context, Interrupt, Metrics, Progress, Silent, Stage, StageError, Task};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Remembers warnings.
#[derive(Default)]
pub(crate) struct Listener(pub(crate) Mutex<Vec<String>>);

impl Progress for Listener {
    fn task(&self, _name: &str, _total: Option<u64>, _unit: &str) -> Box<dyn Task> {
        Box::new(Silent)
    }
    fn say(&self, _line: &str) {}
    fn warn(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
}

/// A recipe's folder, with places for artifacts.
pub(crate) struct Desk {
    pub(crate) folder: TempDir,
    pub(crate) listener: Listener,
    pub(crate) interrupt: Interrupt,
    pub(crate) seed: u64,
    pub(crate) inputs: BTreeMap<String, Artifact>,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            listener: Listener::default(),
            interrupt: Interrupt::default(),
            seed: 7,
            inputs: BTreeMap::new(),
        }
    }

    pub(crate) fn with(files: &[(&str, &[u8])]) -> Self {
        let desk = Self::new();
        for (name, bytes) in files {
            desk.file(name, bytes);
        }
        desk
    }

    pub(crate) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Makes an artifact of the files in `name` and gives it to the stage as its `from`.
    pub(crate) fn give_world(&mut self, name: &str) {
        let manifest = json!({
            "format": 1, "kind": "world", "stage": name, "recipe": "r", "recipe_toml": "", "config": {}, "inputs": {},
            "sources": [], "base": "", "seed": 7, "program": "0", "stage_version": 1, "numeric_path": "", "key": "k",
            "content": "c", "started": "", "ended": "", "cost": { "seconds": 0.0, "peak_bytes": null, "joules": null },
            "predicted": null, "metrics": {}, "files": [], "logs": [],
        });
        let (folder, manifest) = (self.folder.path().join(name), serde_json::from_value(manifest).unwrap());
        self.inputs.insert("from".to_owned(), Artifact { folder, manifest });
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join(".out")
    }

    pub(crate) fn run<S: Stage>(&self, config: Value) -> Result<Metrics, StageError> {
        let config: S::Config = serde_json::from_value(config).unwrap();
        S::validate(&config).unwrap();
        let state = self.folder.path().join(".state");
        let _ = std::fs::remove_dir_all(self.out());
        std::fs::create_dir_all(self.out()).unwrap();
        std::fs::create_dir_all(&state).unwrap();
        let base = self.folder.path().to_owned();
        let talk = (&self.listener as &dyn Progress, &self.interrupt);
        S::run(&config, &Context::new((self.out(), state), self.inputs.clone(), self.seed, base, talk))
    }

    /// Runs a `corpus` stage on `paths` with further settings.
    pub(crate) fn corpus(&self, paths: &[&str], settings: Value) -> Result<Metrics, StageError> {
        self.run::<CorpusStage>(merged(paths, settings))
    }

    /// Runs a `chat` stage on `paths` with further settings.
    pub(crate) fn chat(&self, paths: &[&str], settings: Value) -> Result<Metrics, StageError> {
        self.run::<ChatStage>(merged(paths, settings))
    }

    pub(crate) fn documents(&self, split: Split) -> Vec<Document> {
        read_documents(&self.out(), split).unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn texts(&self, split: Split) -> Vec<String> {
        self.documents(split).into_iter().map(|document| document.text).collect()
    }

    pub(crate) fn conversations(&self, split: Split) -> Vec<Conversation> {
        read_conversations(&self.out(), split).unwrap().collect::<Result<_, _>>().unwrap()
    }

    pub(crate) fn report(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.out().join("report.json")).unwrap()).unwrap()
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.out().join(name)).unwrap()
    }
}

fn merged(paths: &[&str], settings: Value) -> Value {
    let mut config = json!({ "paths": paths });
    if let (Some(config), Value::Object(settings)) = (config.as_object_mut(), settings) {
        config.extend(settings);
    }
    config
}

/// What a failed stage says.
pub(crate) fn message(result: Result<Metrics, StageError>) -> String {
    result.unwrap_err().to_string()
}

/// The folder with real texts, where there is one.
pub(crate) fn real_data(test: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("INKSTONE_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skip {test}: INKSTONE_DATA is not set");
    }
    folder
}
