//! Opening an artifact from its folder, wherever that lies, and checking and making its manifest.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::RecipeError;
use crate::fs::{self, IoError};
use crate::hash::{hash_file, relative};
use crate::key::content_id;
use crate::manifest::{Artifact, ArtifactId, FORMAT, FileEntry, MANIFEST, Manifest};

/// The largest manifest that is read: one with a million sources still fits.
const LIMIT: u64 = 256 << 20;

impl Artifact {
    /// Opens the artifact in the folder `path` (or behind the link `path`), in a store or copied
    /// anywhere else. Its bytes are not read; [`Artifact::check`] does that.
    pub fn open(path: &Path) -> Result<Self, RecipeError> {
        let folder = path.canonicalize().map_err(IoError::at("open", path))?;
        let file = folder.join(MANIFEST);
        if !file.exists() {
            return Err(RecipeError::NotAnArtifact { path: path.to_path_buf() });
        }
        let manifest = read_manifest(&file)?;
        Ok(Self { folder, manifest })
    }

    /// Size of all files in bytes, logs included.
    pub fn bytes(&self) -> u64 {
        self.manifest.files.iter().chain(&self.manifest.logs).map(|f| f.bytes).sum()
    }

    /// Whether each file is there with its recorded size; the error names the one that is not.
    pub fn check_sizes(&self) -> Result<(), RecipeError> {
        self.manifest.files.iter().try_for_each(|entry| self.check_size(entry).map(|_| ()))
    }

    /// Reads every file and compares it with its recorded hash; the error names the bad file.
    pub fn check(&self) -> Result<(), RecipeError> {
        for entry in &self.manifest.files {
            let path = self.check_size(entry)?;
            let (hash, _) = hash_file(&path)?;
            if hash != entry.blake3 {
                let message = format!("its BLAKE3 is {hash}, the manifest says {}", entry.blake3);
                return Err(RecipeError::Corrupt { path, message });
            }
        }
        let content = content_id(&self.manifest.files);
        if content == self.manifest.content {
            return Ok(());
        }
        let message = format!("its files give the content id {content}, it says {}", self.manifest.content);
        Err(RecipeError::Corrupt { path: self.folder.join(MANIFEST), message })
    }

    fn check_size(&self, entry: &FileEntry) -> Result<PathBuf, RecipeError> {
        let path = self.folder.join(&entry.path);
        let message = match std::fs::metadata(&path) {
            Ok(m) if m.len() == entry.bytes => return Ok(path),
            Ok(m) => format!("it has {} bytes, the manifest says {}", m.len(), entry.bytes),
            Err(e) => e.to_string(),
        };
        Err(RecipeError::Corrupt { path, message })
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, RecipeError> {
    /// The one field that every layout has.
    #[derive(Deserialize)]
    struct Layout {
        format: u64,
    }
    let bytes = fs::read(path, LIMIT)?;
    let corrupt = |message: String| RecipeError::Corrupt { path: path.to_path_buf(), message };
    let layout: Layout = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
    if layout.format > u64::from(FORMAT) {
        let path = fs::parent(path).to_path_buf();
        return Err(RecipeError::Newer { path, found: layout.format, supported: FORMAT });
    }
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| corrupt(e.to_string()))?;
    if ArtifactId::parse(manifest.id().as_str()).is_none() {
        return Err(corrupt("its content id or its key is not a BLAKE3 in hexadecimal digits".to_owned()));
    }
    match manifest.files.iter().chain(&manifest.logs).find(|f| !stays_inside(&f.path)) {
        Some(file) => Err(corrupt(format!("the path `{}` leads out of the folder", file.path))),
        None => Ok(manifest),
    }
}

fn stays_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|c| matches!(c, Component::Normal(_)))
}

/// The files below a stage's output folder, hashed and synced: content and logs, each sorted.
pub(crate) fn hash_output(stage: &str, out: &Path) -> Result<(Vec<FileEntry>, Vec<FileEntry>), RecipeError> {
    let mut entries = Vec::new();
    walk(out, &mut |path, kind| {
        let bad = |message| RecipeError::BadOutput { stage: stage.to_owned(), path: path.to_path_buf(), message };
        if kind.is_dir() {
            return Ok(());
        }
        let name = relative(path, out);
        if !kind.is_file() {
            return Err(bad("an artifact may hold only files and folders"));
        }
        if name == MANIFEST {
            return Err(bad("this name is taken by the manifest"));
        }
        let (blake3, bytes) = hash_file(path)?;
        fs::open(path)?.sync_all().map_err(IoError::at("sync", path))?;
        entries.push(FileEntry { path: name, bytes, blake3 });
        Ok(())
    })?;
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries.into_iter().partition(|f| !f.path.starts_with("logs/")))
}

/// Calls `f` for everything below `folder`, a folder after what lies in it.
pub(crate) fn walk(
    folder: &Path,
    f: &mut dyn FnMut(&Path, std::fs::FileType) -> Result<(), RecipeError>,
) -> Result<(), RecipeError> {
    for entry in std::fs::read_dir(folder).map_err(IoError::at("read the folder", folder))? {
        let entry = entry.map_err(IoError::at("read the folder", folder))?;
        let kind = entry.file_type().map_err(IoError::at("read", &entry.path()))?;
        if kind.is_dir() {
            walk(&entry.path(), f)?;
        }
        f(&entry.path(), kind)?;
    }
    Ok(())
}
