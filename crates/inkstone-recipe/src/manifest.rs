//! `manifest.json`: what an artifact is, what it was made from, and what it cost.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The layout of manifests that this program writes, and the newest one it reads.
pub const FORMAT: u32 = 1;

/// The name of the manifest in an artifact's folder.
pub const MANIFEST: &str = "manifest.json";

/// Named results of a stage, in the order in which they were reported.
pub type Metrics = serde_json::Map<String, serde_json::Value>;

/// BLAKE3 over the names and hashes of an artifact's files: what was made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ContentId(pub String);

/// BLAKE3 over config, inputs, seed and algorithm version: what would be made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Key(pub String);

/// Names one artifact of a store: the content and how it came about. Two keys may give the same
/// bytes; each keeps its own manifest and logs.
///
/// The text is `<content id>-<first 16 digits of the key>`, which is also the name of its folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ArtifactId(String);

impl ArtifactId {
    /// The artifact that `key` gives with `content`.
    pub fn new(content: &ContentId, key: &Key) -> Self {
        Self(format!("{content}-{}", key.0.get(..16).unwrap_or(&key.0)))
    }

    /// Reads the name of a folder.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (content, key) = name.split_once('-')?;
        (is_hex(content) && is_hex(key)).then(|| Self(name.to_owned()))
    }

    /// The content.
    pub fn content(&self) -> ContentId {
        ContentId(self.0.split('-').next().unwrap_or_default().to_owned())
    }

    /// The whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is digits as BLAKE3 is written here.
pub(crate) fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

impl ContentId {
    /// The first twelve digits, for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl std::fmt::Display for ContentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An artifact in the store: its folder and its manifest.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The folder with the files and `manifest.json`.
    pub folder: PathBuf,
    /// What `manifest.json` says.
    pub manifest: Manifest,
}

/// The content of `manifest.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this layout, [`FORMAT`].
    pub format: u32,
    /// Kind of the stage.
    pub kind: String,
    /// Name of the stage in the recipe that made it first.
    pub stage: String,
    /// Name of that recipe.
    pub recipe: String,
    /// The resolved recipe as TOML; running it gives the same bytes.
    pub recipe_toml: String,
    /// The resolved config of the stage.
    pub config: serde_json::Value,
    /// Input artifacts by config field.
    pub inputs: BTreeMap<String, ArtifactId>,
    /// Files outside the store that were read.
    pub sources: Vec<FileEntry>,
    /// The folder against which relative source paths were resolved.
    pub base: PathBuf,
    /// Seed of the recipe.
    pub seed: u64,
    /// Version of the program.
    pub program: String,
    /// Version of the stage's algorithm.
    pub stage_version: u32,
    /// The instruction set that computed it.
    pub numeric_path: String,
    /// What would be made.
    pub key: Key,
    /// What was made.
    pub content: ContentId,
    /// Start, RFC 3339 in UTC.
    pub started: String,
    /// End, RFC 3339 in UTC.
    pub ended: String,
    /// What it cost.
    pub cost: Cost,
    /// What the plan said before, where there was a plan.
    pub predicted: Option<serde_json::Value>,
    /// Named results.
    pub metrics: Metrics,
    /// The files that are the content, sorted by path.
    pub files: Vec<FileEntry>,
    /// Files kept beside the content (below `logs/`), sorted by path.
    pub logs: Vec<FileEntry>,
}

impl Manifest {
    /// The name of this artifact in its store.
    pub fn id(&self) -> ArtifactId {
        ArtifactId::new(&self.content, &self.key)
    }
}

/// A file with its size and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Path with forward slashes, relative to the artifact (or as the recipe gave it, for a source).
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3 in hexadecimal.
    pub blake3: String,
}

/// What making an artifact cost.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Cost {
    /// Wall time, summed over interrupted attempts.
    pub seconds: f64,
    /// Peak resident memory while the stage ran.
    pub peak_bytes: Option<u64>,
    /// Energy of the processor package, where the machine tells.
    pub joules: Option<f64>,
}
