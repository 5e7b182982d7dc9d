//! What differs between two artifacts.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::manifest::{Artifact, FileEntry, Manifest};
use crate::tree;

/// What differs. [`std::fmt::Display`] prints one line a change.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Diff {
    /// Kind, algorithm version, seed, program, numeric path.
    pub made: Vec<Change>,
    /// Config keys, nested ones dotted.
    pub config: Vec<Change>,
    /// Input artifacts by field.
    pub inputs: Vec<Change>,
    /// Hashes of source files by path.
    pub sources: Vec<Change>,
    /// Metrics.
    pub metrics: Vec<Change>,
    /// Hashes of the artifact's files by path.
    pub files: Vec<Change>,
}

/// One thing that differs; `null` where it is absent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// What.
    pub key: String,
    /// In the first artifact.
    pub a: Value,
    /// In the second artifact.
    pub b: Value,
}

/// Compares what `a` and `b` were made from and what came of it.
pub fn diff(a: &Artifact, b: &Artifact) -> Diff {
    let (a, b) = (&a.manifest, &b.manifest);
    Diff {
        made: changes(&made(a), &made(b)),
        config: changes(&a.config, &b.config),
        inputs: changes(&contents(a), &contents(b)),
        sources: changes(&entries(&a.sources), &entries(&b.sources)),
        metrics: changes(&Value::Object(a.metrics.clone()), &Value::Object(b.metrics.clone())),
        files: changes(&entries(&a.files), &entries(&b.files)),
    }
}

/// What the inputs hold, by field: how that came about does not matter here.
fn contents(manifest: &Manifest) -> Value {
    manifest.inputs.iter().map(|(field, id)| (field.clone(), json!(id.content()))).collect::<Map<_, _>>().into()
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.groups().iter().all(|(_, changes)| changes.is_empty())
    }

    fn groups(&self) -> [(&'static str, &[Change]); 6] {
        [
            ("made", &self.made),
            ("config", &self.config),
            ("input", &self.inputs),
            ("source", &self.sources),
            ("metric", &self.metrics),
            ("file", &self.files),
        ]
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "no difference");
        }
        for (group, changes) in self.groups() {
            for change in changes {
                writeln!(f, "{group:7} {}: {} → {}", change.key, shown(&change.a), shown(&change.b))?;
            }
        }
        Ok(())
    }
}

fn made(m: &Manifest) -> Value {
    json!({
        "kind": m.kind, "stage_version": m.stage_version, "seed": m.seed, "program": m.program,
        "numeric_path": m.numeric_path,
    })
}

/// Files as a JSON object from path to hash.
pub(crate) fn entries(files: &[FileEntry]) -> Value {
    Value::Object(files.iter().map(|f| (f.path.clone(), Value::from(f.blake3.as_str()))).collect::<Map<_, _>>())
}

/// What differs between two values, objects key by key, in the order of `a` and then of `b`.
pub(crate) fn changes(a: &Value, b: &Value) -> Vec<Change> {
    let mut found = Vec::new();
    collect("", a, b, &mut found);
    found
}

fn collect(prefix: &str, a: &Value, b: &Value, found: &mut Vec<Change>) {
    let empty = Map::new();
    match (a, b) {
        _ if a == b => {}
        (Value::Object(x), Value::Object(y)) => collect_keys(prefix, x, y, found),
        (Value::Object(x), Value::Null) if !x.is_empty() => collect_keys(prefix, x, &empty, found),
        (Value::Null, Value::Object(y)) if !y.is_empty() => collect_keys(prefix, &empty, y, found),
        _ => found.push(Change { key: prefix.to_owned(), a: a.clone(), b: b.clone() }),
    }
}

fn collect_keys(prefix: &str, x: &Map<String, Value>, y: &Map<String, Value>, found: &mut Vec<Change>) {
    let only_y = y.keys().filter(|k| !x.contains_key(*k));
    for key in x.keys().chain(only_y) {
        let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let (a, b) = (x.get(key).unwrap_or(&Value::Null), y.get(key).unwrap_or(&Value::Null));
        collect(&path, a, b, found);
    }
}

/// A value on one line, cut where it is long.
pub(crate) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = if value.is_null() { "none".to_owned() } else { tree::inline(value) };
    if text.chars().count() <= LONGEST {
        return text;
    }
    let start: String = text.chars().take(LONGEST).collect();
    format!("{start}…")
}
