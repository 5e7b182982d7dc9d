//! File operations whose errors name the path, and writes that a crash cannot leave half-made.

use std::fs::File;
use std::path::{Path, PathBuf};

/// An input or output error with its path.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct IoError {
    /// What was tried, e.g. `read`.
    pub action: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why not.
    pub source: std::io::Error,
}

impl IoError {
    /// For `map_err`: `file.write_all(bytes).map_err(IoError::at("write", path))`.
    pub fn at(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self { action, path, source }
    }

    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        use std::io::ErrorKind;
        match self.source.kind() {
            ErrorKind::StorageFull => {
                Some("the disk is full; free some space (`inkstone gc` may help) and run the same command again")
            }
            ErrorKind::PermissionDenied => Some("check who owns the file and its permissions"),
            ErrorKind::NotFound => Some("check the spelling, and the folder that relative paths count from"),
            ErrorKind::IsADirectory => Some("give a file, not a folder"),
            ErrorKind::InvalidData => Some(
                "convert the text to UTF-8 first, e.g. `iconv -f WINDOWS-1252 -t UTF-8 IN > OUT`, with GB18030 for Chinese",
            ),
            ErrorKind::ReadOnlyFilesystem => Some("the disk is mounted read-only; choose another folder with --runs"),
            _ => None,
        }
    }
}

/// Writes `bytes` beside `path`, syncs, and renames: readers see the old file or the new one.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), IoError> {
    write_atomic_with(path, |file| std::io::Write::write_all(file, bytes))
}

/// As [`write_atomic`], with the content written by `write`.
pub fn write_atomic_with(path: &Path, write: impl FnOnce(&mut File) -> std::io::Result<()>) -> Result<(), IoError> {
    let folder = parent(path);
    let mut aside = tempfile::Builder::new()
        .prefix(".writing-")
        .tempfile_in(folder)
        .map_err(IoError::at("create a file in", folder))?;
    write(aside.as_file_mut()).map_err(IoError::at("write", path))?;
    set_mode(aside.as_file()).map_err(IoError::at("write", path))?;
    aside.as_file().sync_all().map_err(IoError::at("sync", path))?;
    aside.persist(path).map_err(|e| IoError {
        action: "rename into place",
        path: path.to_path_buf(),
        source: e.error,
    })?;
    sync_folder(folder)
}

/// Makes a folder and all above it.
pub fn create_dir_all(path: &Path) -> Result<(), IoError> {
    std::fs::create_dir_all(path).map_err(IoError::at("create the folder", path))
}

/// Removes a folder with all it contains; one that is not there is fine.
pub fn remove_dir_all(path: &Path) -> Result<(), IoError> {
    ignore_missing(std::fs::remove_dir_all(path)).map_err(IoError::at("remove", path))
}

/// Removes a file; one that is not there is fine.
pub fn remove_file(path: &Path) -> Result<(), IoError> {
    ignore_missing(std::fs::remove_file(path)).map_err(IoError::at("remove", path))
}

/// Renames a file or folder on the same disk and syncs the folder it lands in.
pub fn rename(from: &Path, to: &Path) -> Result<(), IoError> {
    std::fs::rename(from, to).map_err(IoError::at("rename into place", to))?;
    sync_folder(parent(to))
}

/// Reads a whole file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, IoError> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let file = open(path)?;
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(IoError::at("read", path))?;
    if bytes.len() as u64 > limit {
        let source = std::io::Error::new(std::io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes"));
        return Err(IoError { action: "read", path: path.to_path_buf(), source });
    }
    Ok(bytes)
}

/// Reads a whole text file of at most `limit` bytes.
pub fn read_to_string(path: &Path, limit: u64) -> Result<String, IoError> {
    utf8(read(path, limit)?, 1).map_err(IoError::at("read", path))
}

/// Bytes as text; the error says where they stop being UTF-8, counting lines from `first_line`.
pub fn utf8(bytes: Vec<u8>, first_line: u64) -> std::io::Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let (before, wrong) = error.as_bytes().split_at(error.utf8_error().valid_up_to());
        let lines: Vec<&[u8]> = before.split(|&byte| byte == b'\n').collect();
        let (line, column) = (first_line + lines.len() as u64 - 1, lines[lines.len() - 1].len() + 1);
        let text = format!("not UTF-8: byte 0x{:02X} at line {line}, column {column}", wrong[0]);
        std::io::Error::new(std::io::ErrorKind::InvalidData, text)
    })
}

/// Opens a file for reading.
pub fn open(path: &Path) -> Result<File, IoError> {
    File::open(path).map_err(IoError::at("read", path))
}

/// Creates or empties a file for writing.
pub fn create(path: &Path) -> Result<File, IoError> {
    File::create(path).map_err(IoError::at("create", path))
}

/// Makes a folder's entries last through a loss of power.
pub fn sync_folder(path: &Path) -> Result<(), IoError> {
    if cfg!(unix) { File::open(path).and_then(|f| f.sync_all()).map_err(IoError::at("sync", path)) } else { Ok(()) }
}

/// The folder that `path` lies in, `.` for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn ignore_missing(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// A temporary file is private by default; an artifact's file is as readable as any other.
#[cfg(unix)]
fn set_mode(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_mode(_file: &File) -> std::io::Result<()> {
    Ok(())
}
