//! Makes an artifact again, with all it came from, and compares the bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use crate::RecipeError;
use crate::artifact::hash_output;
use crate::attempt::{Job, run_stage};
use crate::diff::{Change, changes, entries};
use crate::fs;
use crate::hash::{SourceCache, relative};
use crate::lineage::ancestors;
use crate::manifest::{Artifact, ArtifactId, ContentId, FileEntry, MANIFEST};
use crate::registry::{Bound, Registry};
use crate::run::RunEnvironment;
use crate::store::Store;
use crate::tree::{Node, Place};

/// What came of [`verify`], sources first.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    /// One entry for each artifact of the lineage; the last is the one that was asked about.
    pub stages: Vec<VerifiedStage>,
}

impl VerifyReport {
    /// Whether every stage gave the same bytes again.
    pub fn all_same(&self) -> bool {
        self.stages.iter().all(|s| matches!(s.outcome, Outcome::Same))
    }
}

/// One re-executed stage.
#[derive(Debug, Clone, Serialize)]
pub struct VerifiedStage {
    /// Stage name.
    pub stage: String,
    /// Stage kind.
    pub kind: String,
    /// The recorded content.
    pub content: ContentId,
    /// The numeric path it was made with.
    pub numeric_path: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took now.
    pub seconds: f64,
}

/// What came of making an artifact again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Every file has the same bytes.
    Same,
    /// Some files differ.
    Different {
        /// Which, and how.
        files: Vec<FileDifference>,
    },
    /// It could not be made again.
    CouldNot {
        /// Why.
        reason: String,
    },
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileDifference {
    /// Path relative to the artifact.
    pub path: String,
    /// `other bytes`, `missing now`, `new`, `damaged in the store: …`.
    pub how: String,
}

/// Re-executes every stage of `artifact`'s lineage in `runs/.store/verify-<pid>`, which is removed
/// afterwards, and compares file by file with what the manifests record.
///
/// Each stage reads the recorded bytes of its inputs (made again, or else from the store), so that
/// one stage that differs does not make all later ones differ. Stored files that are damaged are
/// reported like files that differ.
pub fn verify(
    artifact: &Artifact,
    store: &Store,
    registry: &Registry,
    environment: &RunEnvironment<'_>,
) -> Result<VerifyReport, RecipeError> {
    let scratch = Scratch::new(store.inner(&format!("verify-{}", std::process::id())))?;
    let artifacts = ancestors(artifact, store)?;
    let total = artifacts.len();
    let mut verifier = Verifier { store, registry, environment, scratch: &scratch, remade: BTreeMap::new() };
    let mut report = VerifyReport { stages: Vec::new() };
    for (index, artifact) in artifacts.iter().enumerate() {
        let m = &artifact.manifest;
        environment.progress.say(&format!("[{}/{total}] {} ({}): made again", index + 1, m.stage, m.kind));
        let started = Instant::now();
        let outcome = verifier.stage(artifact, index)?;
        report.stages.push(VerifiedStage {
            stage: m.stage.clone(),
            kind: m.kind.clone(),
            content: m.content.clone(),
            numeric_path: m.numeric_path.clone(),
            outcome,
            seconds: started.elapsed().as_secs_f64(),
        });
    }
    Ok(report)
}

/// A folder that is removed when it goes out of scope.
struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> Result<Self, RecipeError> {
        fs::remove_dir_all(&path)?;
        fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is taken by `gc`.
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Verifier<'a> {
    store: &'a Store,
    registry: &'a Registry,
    environment: &'a RunEnvironment<'a>,
    scratch: &'a Scratch,
    /// What was made again with the recorded bytes.
    remade: BTreeMap<ArtifactId, Artifact>,
}

/// Why a stage cannot be made again, in words.
struct Reason(String);

impl Verifier<'_> {
    fn stage(&mut self, artifact: &Artifact, index: usize) -> Result<Outcome, RecipeError> {
        let job = match self.job(artifact) {
            Ok((bound, inputs)) => (bound, inputs),
            Err(Reason(reason)) => return Ok(Outcome::CouldNot { reason }),
        };
        let folder = self.scratch.0.join(index.to_string());
        let outcome = match self.execute(artifact, &job, &folder) {
            Err(RecipeError::Stage { source, .. }) => Outcome::CouldNot { reason: source.to_string() },
            other => compare(artifact, &other?),
        };
        fs::remove_dir_all(&folder.join("state"))?;
        if outcome == Outcome::Same {
            let remade = Artifact { folder: folder.join("out"), manifest: artifact.manifest.clone() };
            self.remade.insert(artifact.manifest.id(), remade);
        } else {
            fs::remove_dir_all(&folder)?;
        }
        Ok(outcome)
    }

    /// The stage as the manifest records it, with its inputs.
    fn job(&self, artifact: &Artifact) -> Result<Recorded, Reason> {
        let m = &artifact.manifest;
        let place = Place::origin(&artifact.folder.join(MANIFEST).display().to_string());
        let table = Node::from_json(&m.config, &place);
        let bound = self.registry.bind(&m.stage, (&m.kind, &place), &table).map_err(|e| Reason(e.to_string()))?;
        if bound.version() != m.stage_version {
            let text = format!("made by algorithm version {}, this program has {}", m.stage_version, bound.version());
            return Err(Reason(text));
        }
        check_sources(bound.as_ref(), &m.sources, &m.base)?;
        let inputs = m.inputs.iter().map(|(field, id)| Ok((field.clone(), self.input(field, id)?)));
        Ok((bound, inputs.collect::<Result<_, _>>()?))
    }

    fn input(&self, field: &str, id: &ArtifactId) -> Result<Artifact, Reason> {
        if let Some(remade) = self.remade.get(id) {
            return Ok(remade.clone());
        }
        let gone = || Reason(format!("its input {field} ({}) is no longer in the store", id.content().short()));
        let stored = self.store.artifact(id).map_err(|e| Reason(e.to_string()))?.ok_or_else(gone)?;
        stored.check().map_err(|e| Reason(format!("its input {field}: {e}")))?;
        Ok(stored)
    }

    fn execute(&self, artifact: &Artifact, job: &Recorded, folder: &Path) -> Result<Vec<FileEntry>, RecipeError> {
        let (m, (bound, inputs)) = (&artifact.manifest, job);
        let job = Job {
            stage: &m.stage,
            recipe: &m.recipe,
            recipe_toml: &m.recipe_toml,
            bound: bound.as_ref(),
            inputs: inputs.clone(),
            sources: &[],
            base: m.base.clone(),
            seed: m.seed,
            key: m.key.clone(),
            predicted: None,
        };
        run_stage(&job, folder, self.environment)?;
        Ok(hash_output(&m.stage, &folder.join("out"))?.0)
    }
}

/// A stage as its manifest records it, with its inputs.
type Recorded = (Box<dyn Bound>, BTreeMap<String, Artifact>);

/// The sources must be what they were.
fn check_sources(bound: &dyn Bound, recorded: &[FileEntry], base: &Path) -> Result<(), Reason> {
    let paths = bound.sources(base).map_err(|e| Reason(e.to_string()))?;
    // Every byte is read: nothing remembered counts here.
    let mut cache = SourceCache::open(PathBuf::new());
    let now = cache.hash(&paths, base).map_err(|e| Reason(e.to_string()))?;
    let now: Vec<FileEntry> = now.into_iter().map(|s| s.entry).collect();
    match changes(&entries(recorded), &entries(&now)).first() {
        None => Ok(()),
        Some(c) if c.b.is_null() => Err(Reason(format!("the source {} is gone", c.key))),
        Some(c) if c.a.is_null() => Err(Reason(format!("the source {} was not there then", c.key))),
        Some(c) => Err(Reason(format!("the source {} has changed since", c.key))),
    }
}

fn compare(artifact: &Artifact, now: &[FileEntry]) -> Outcome {
    let difference = |c: Change| {
        let how = match (c.a.is_null(), c.b.is_null()) {
            (true, _) => "new".to_owned(),
            (_, true) => "missing now".to_owned(),
            _ => "other bytes".to_owned(),
        };
        FileDifference { path: c.key, how }
    };
    let differing = changes(&entries(&artifact.manifest.files), &entries(now));
    let mut files: Vec<FileDifference> = differing.into_iter().map(difference).collect();
    if let Err(RecipeError::Corrupt { path, message }) = artifact.check() {
        files.push(FileDifference {
            path: relative(&path, &artifact.folder),
            how: format!("damaged in the store: {message}"),
        });
    }
    if files.is_empty() { Outcome::Same } else { Outcome::Different { files } }
}
