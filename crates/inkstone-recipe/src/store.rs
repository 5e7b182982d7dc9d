//! The artifact store: folders below `runs/.store`, named by what they hold.
//!
//! ```text
//! runs/<recipe>/<stage>          link to ../.store/objects/<artifact id>
//! runs/.store/objects/<id>/      manifest.json and the files
//! runs/.store/keys/<key>         which artifact a key gave
//! runs/.store/partial/<key>/     out/, state/ and attempt.json of a stage under way
//! runs/.store/sources.json       hashes of sources by path, size and time
//! runs/.store/lock               held by the run under way
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::RecipeError;
use crate::artifact;
use crate::fs::{self, IoError};
use crate::lock::{StoreLock, lock};
use crate::manifest::{Artifact, ArtifactId, Key, MANIFEST, Manifest, is_hex};
use crate::run::RunEnvironment;
use crate::suggest::nearest;

/// The artifact store of one `runs` folder.
#[derive(Debug, Clone)]
pub struct Store {
    runs: PathBuf,
}

/// The file of a key.
#[derive(Serialize, Deserialize)]
struct KeyFile {
    artifact: ArtifactId,
}

/// What the store has for a key.
pub(crate) enum Lookup {
    Found(Box<Artifact>),
    Missing,
    /// It was there and is not whole; the text says what is wrong.
    Damaged(ArtifactId, String),
}

impl Store {
    /// Opens the store of the folder `runs`, which is made if need be.
    pub fn open(runs: &Path) -> Result<Self, RecipeError> {
        let store = Self { runs: runs.to_path_buf() };
        for folder in ["objects", "keys", "partial"] {
            fs::create_dir_all(&store.inner(folder))?;
        }
        Ok(store)
    }

    /// The store that `artifact` lies in, where it lies in one.
    pub fn around(artifact: &Artifact) -> Option<Self> {
        let objects = artifact.folder.parent()?;
        let inner = objects.parent()?;
        let fits = objects.file_name()? == "objects" && inner.file_name()? == ".store";
        Self::open(inner.parent().filter(|_| fits)?).ok()
    }

    /// The folder `runs`.
    pub fn runs(&self) -> &Path {
        &self.runs
    }

    /// The link of a stage, whether it is there or not.
    pub fn link(&self, recipe: &str, stage: &str) -> PathBuf {
        self.runs.join(recipe).join(stage)
    }

    /// The artifact made for `key`, if it is there and whole at a cheap look (manifest readable,
    /// files present with the right size).
    pub fn get(&self, key: &Key) -> Result<Option<Artifact>, RecipeError> {
        match self.look_up(key)? {
            Lookup::Found(artifact) => Ok(Some(*artifact)),
            Lookup::Missing => Ok(None),
            Lookup::Damaged(id, message) => Err(RecipeError::Corrupt { path: self.object(&id), message }),
        }
    }

    /// The artifact of this name, if the store has it.
    pub fn artifact(&self, id: &ArtifactId) -> Result<Option<Artifact>, RecipeError> {
        let Some(id) = ArtifactId::parse(id.as_str()) else {
            return Ok(None);
        };
        let folder = self.object(&id);
        if folder.join(MANIFEST).exists() { Artifact::open(&folder).map(Some) } else { Ok(None) }
    }

    /// The artifact that `reference` means: a path (a folder or a link), `recipe/stage`, or the
    /// beginning (at least four digits) of an artifact's id, which begins with its content id.
    pub fn find(&self, reference: &str) -> Result<Artifact, RecipeError> {
        let path = Path::new(reference);
        let below = self.runs.join(reference);
        if path.exists() && (path.join(MANIFEST).exists() || !below.exists()) {
            return Artifact::open(path);
        }
        if below.exists() && !reference.is_empty() {
            return Artifact::open(&below);
        }
        let named = reference.len() >= 4 && reference.split('-').all(|part| part.is_empty() || is_hex(part));
        let candidates: Vec<ArtifactId> = if named {
            self.artifacts()?.into_iter().filter(|id| id.as_str().starts_with(reference)).collect()
        } else {
            Vec::new()
        };
        match &candidates[..] {
            [] => Err(self.no_such_artifact(reference)),
            [one] => Artifact::open(&self.object(one)),
            many => {
                let candidates = many.iter().map(|id| id.as_str().to_owned()).collect();
                Err(RecipeError::Ambiguous { prefix: reference.to_owned(), candidates })
            }
        }
    }

    /// Takes the store for one run; see [`crate::Options::wait`].
    pub fn lock(&self, wait: bool, environment: &RunEnvironment<'_>) -> Result<StoreLock, RecipeError> {
        lock(&self.inner("lock"), wait, environment)
    }

    /// The names of all artifacts, sorted.
    pub fn artifacts(&self) -> Result<Vec<ArtifactId>, RecipeError> {
        let names = names(&self.inner("objects"))?;
        Ok(names.iter().filter_map(|name| ArtifactId::parse(name)).collect())
    }

    /// The links below `runs` as (`recipe/stage`, artifact id), sorted.
    pub fn links(&self) -> Result<Vec<(String, ArtifactId)>, RecipeError> {
        let mut links = Vec::new();
        for recipe in names(&self.runs)?.into_iter().filter(|n| !n.starts_with('.')) {
            let folder = self.runs.join(&recipe);
            if !folder.is_dir() {
                continue;
            }
            for stage in names(&folder)? {
                let target = std::fs::read_link(folder.join(&stage)).ok();
                let id = target.as_deref().and_then(Path::file_name).and_then(|n| ArtifactId::parse(n.to_str()?));
                links.extend(id.map(|id| (format!("{recipe}/{stage}"), id)));
            }
        }
        Ok(links)
    }

    fn no_such_artifact(&self, reference: &str) -> RecipeError {
        let links = self.links().unwrap_or_default();
        let suggestion = nearest(reference, links.iter().map(|(name, _)| name.as_str()));
        RecipeError::NoSuchArtifact { reference: reference.to_owned(), runs: self.runs.clone(), suggestion }
    }

    pub(crate) fn inner(&self, name: &str) -> PathBuf {
        self.runs.join(".store").join(name)
    }

    pub(crate) fn object(&self, id: &ArtifactId) -> PathBuf {
        self.inner("objects").join(id.as_str())
    }

    pub(crate) fn partial(&self, key: &Key) -> PathBuf {
        self.inner("partial").join(&key.0)
    }

    fn key_file(&self, key: &Key) -> PathBuf {
        self.inner("keys").join(&key.0)
    }

    /// The artifact a key file names; `None` where there is none or it cannot be read.
    pub(crate) fn made_for(&self, key: &str) -> Option<ArtifactId> {
        let bytes = fs::read(&self.inner("keys").join(key), 1 << 16).ok()?;
        let file: KeyFile = serde_json::from_slice(&bytes).ok()?;
        ArtifactId::parse(file.artifact.as_str())
    }

    pub(crate) fn look_up(&self, key: &Key) -> Result<Lookup, RecipeError> {
        let Some(id) = self.made_for(&key.0) else {
            return Ok(Lookup::Missing);
        };
        let folder = self.object(&id);
        if !folder.exists() {
            return Ok(Lookup::Missing);
        }
        match Artifact::open(&folder).and_then(|a| a.check_sizes().map(|()| a)) {
            Ok(artifact) => Ok(Lookup::Found(Box::new(artifact))),
            Err(RecipeError::Corrupt { path, message }) => {
                Ok(Lookup::Damaged(id, format!("{}: {message}", path.display())))
            }
            Err(RecipeError::NotAnArtifact { .. }) => Ok(Lookup::Damaged(id, "manifest.json is missing".to_owned())),
            Err(other) => Err(other),
        }
    }

    /// Takes an artifact out of the store.
    pub(crate) fn discard(&self, id: &ArtifactId) -> Result<(), RecipeError> {
        // The manifest goes first, so that a crash on the way leaves nothing that looks whole.
        fs::remove_file(&self.object(id).join(MANIFEST))?;
        Ok(fs::remove_dir_all(&self.object(id))?)
    }

    /// Makes the folder `out`, whose files are synced, the artifact of `manifest`. One that is there
    /// already and whole stays as it was.
    pub(crate) fn publish(&self, out: &Path, manifest: &Manifest) -> Result<Artifact, RecipeError> {
        let id = manifest.id();
        let folder = self.object(&id);
        if folder.exists() {
            if Artifact::open(&folder).and_then(|a| a.check()).is_ok() {
                self.point(&manifest.key, &id)?;
                return Artifact::open(&folder);
            }
            self.discard(&id)?;
        }
        let text = serde_json::to_vec_pretty(manifest)
            .map_err(|e| IoError::at("write", &out.join(MANIFEST))(std::io::Error::other(e)))?;
        fs::write_atomic(&out.join(MANIFEST), &text)?;
        artifact::walk(out, &mut |path, kind| {
            if kind.is_dir() { Ok(fs::sync_folder(path)?) } else { Ok(()) }
        })?;
        fs::sync_folder(out)?;
        fs::rename(out, &folder)?;
        self.point(&manifest.key, &id)?;
        Artifact::open(&folder)
    }

    fn point(&self, key: &Key, id: &ArtifactId) -> Result<(), RecipeError> {
        let text = serde_json::json!({ "artifact": id }).to_string();
        Ok(fs::write_atomic(&self.key_file(key), text.as_bytes())?)
    }

    /// Points `runs/<recipe>/<stage>` to an artifact and returns the link.
    pub(crate) fn set_link(&self, recipe: &str, stage: &str, id: &ArtifactId) -> Result<PathBuf, RecipeError> {
        let link = self.link(recipe, stage);
        let target = Path::new("..").join(".store").join("objects").join(id.as_str());
        if std::fs::read_link(&link).is_ok_and(|now| now == target) {
            return Ok(link);
        }
        if std::fs::symlink_metadata(&link).is_ok_and(|m| !m.is_symlink()) {
            return Err(RecipeError::LinkBlocked { path: link });
        }
        let folder = fs::parent(&link);
        fs::create_dir_all(folder)?;
        let aside = folder.join(format!(".link-{}", std::process::id()));
        fs::remove_file(&aside)?;
        symlink(&target, &aside).map_err(IoError::at("link", &link))?;
        fs::rename(&aside, &link)?;
        Ok(link)
    }
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::windows::fs::symlink_dir(target, link)
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, IoError> {
    let entries = std::fs::read_dir(folder).map_err(IoError::at("read the folder", folder))?;
    let names = entries.map(|e| e.map(|e| e.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<Result<Vec<_>, _>>().map_err(IoError::at("read the folder", folder))?;
    names.sort();
    Ok(names)
}
