//! Hashes of files, remembered for sources that did not change.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::fs::{self, IoError};
use crate::manifest::FileEntry;

/// BLAKE3 of a file's bytes in hexadecimal, and their number.
pub fn hash_file(path: &Path) -> Result<(String, u64), IoError> {
    let mut file = fs::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0u8; 1 << 20];
    let mut bytes = 0;
    loop {
        let n = file.read(&mut buffer).map_err(IoError::at("read", path))?;
        if n == 0 {
            return Ok((hasher.finalize().to_hex().to_string(), bytes));
        }
        hasher.update(&buffer[..n]);
        bytes += n as u64;
    }
}

/// What tells cheaply that a file did not change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    bytes: u64,
    /// Time of the last change in nanoseconds since 1970.
    modified: u64,
}

impl Stamp {
    pub(crate) fn of(path: &Path) -> Result<Self, IoError> {
        let metadata = std::fs::metadata(path).map_err(IoError::at("read", path))?;
        let modified = metadata.modified().map_err(IoError::at("read", path))?;
        Ok(Self { bytes: metadata.len(), modified: nanoseconds(modified) })
    }

    /// A file changed in the last moments might change again without a new time.
    fn settled(&self) -> bool {
        let margin = Duration::from_secs(2);
        nanoseconds(SystemTime::now() - margin) > self.modified
    }
}

fn nanoseconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
}

/// Hashes of sources by path, kept in `.store/sources.json`.
pub(crate) struct SourceCache {
    path: PathBuf,
    known: BTreeMap<String, (Stamp, String)>,
    changed: bool,
}

/// A hashed source.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) stamp: Stamp,
    pub(crate) entry: FileEntry,
}

impl SourceCache {
    /// Reads the cache; one that cannot be read is begun anew.
    pub(crate) fn open(path: PathBuf) -> Self {
        let bytes = fs::read(&path, 1 << 30).unwrap_or_default();
        let known = serde_json::from_slice(&bytes).unwrap_or_default();
        Self { path, known, changed: false }
    }

    /// Hashes `paths`, sorted and without repetition. Names are relative to `base` where they lie below it.
    pub(crate) fn hash(&mut self, paths: &[PathBuf], base: &Path) -> Result<Vec<Source>, IoError> {
        let mut sources = paths.iter().map(|p| self.hash_one(&base.join(p), base)).collect::<Result<Vec<_>, _>>()?;
        sources.sort_by(|a, b| a.entry.path.cmp(&b.entry.path));
        sources.dedup_by(|a, b| a.entry.path == b.entry.path);
        Ok(sources)
    }

    fn hash_one(&mut self, path: &Path, base: &Path) -> Result<Source, IoError> {
        let stamp = Stamp::of(path)?;
        let name = path.to_string_lossy().into_owned();
        let blake3 = match self.known.get(&name) {
            Some((known, hash)) if *known == stamp => hash.clone(),
            _ => self.remember(path, name, &stamp)?,
        };
        let entry = FileEntry { path: relative(path, base), bytes: stamp.bytes, blake3 };
        Ok(Source { path: path.to_path_buf(), stamp, entry })
    }

    fn remember(&mut self, path: &Path, name: String, stamp: &Stamp) -> Result<String, IoError> {
        let (hash, _) = hash_file(path)?;
        if stamp.settled() {
            self.known.insert(name, (stamp.clone(), hash.clone()));
            self.changed = true;
        }
        Ok(hash)
    }

    /// Writes the cache if it learnt anything.
    pub(crate) fn save(&mut self) -> Result<(), IoError> {
        if !std::mem::take(&mut self.changed) {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&self.known).unwrap_or_default();
        fs::write_atomic(&self.path, &bytes)
    }
}

/// `path` below `base` with forward slashes; unchanged elsewhere.
pub(crate) fn relative(path: &Path, base: &Path) -> String {
    let text = path.strip_prefix(base).unwrap_or(path).to_string_lossy();
    if cfg!(windows) { text.replace('\\', "/") } else { text.into_owned() }
}
