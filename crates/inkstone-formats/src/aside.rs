//! Files that appear whole or not at all: written under a temporary name, synced, renamed.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::FormatError;

/// A file under way to `path`; dropped without [`finish`](Self::finish), it leaves nothing behind.
pub(crate) struct AsideFile {
    path: PathBuf,
    temporary: NamedTempFile,
}

impl AsideFile {
    pub(crate) fn create(path: &Path) -> Result<Self, FormatError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".writing-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let temporary = builder.tempfile_in(folder_of(path)).map_err(FormatError::io(path, "create"))?;
        Ok(Self { path: path.to_owned(), temporary })
    }

    pub(crate) fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the file in its place and makes both its bytes and its name outlive a crash.
    pub(crate) fn finish(self) -> Result<(), FormatError> {
        let Self { path, temporary } = self;
        temporary.as_file().sync_all().map_err(FormatError::io(&path, "sync"))?;
        temporary.persist(&path).map_err(|error| FormatError::io(&path, "rename")(error.error))?;
        sync_folder(folder_of(&path))
    }
}

/// Writes `bytes` to `path`, whole or not at all.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), FormatError> {
    let mut aside = AsideFile::create(path)?;
    aside.file().write_all(bytes).map_err(FormatError::io(path, "write"))?;
    aside.finish()
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> Result<(), FormatError> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(FormatError::io(folder, "sync"))
}

// Folders can't be opened for syncing elsewhere; the rename itself is atomic there too.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> Result<(), FormatError> {
    Ok(())
}
