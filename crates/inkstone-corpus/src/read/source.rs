//! From the recipe's paths to a sorted list of files.

use std::path::{Path, PathBuf};

use super::Format;
use super::open::compression;
use crate::error::CorpusError;

/// Folders within folders; deeper ones are taken for a loop of links.
const MAX_DEPTH: usize = 64;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Relative to the recipe's folder where it lies in it, with forward slashes.
    pub(crate) name: String,
    pub(crate) format: Format,
    pub(crate) bytes: u64,
}

impl Source {
    pub(crate) fn new(path: PathBuf, base: &Path, format: Format) -> Result<Self, CorpusError> {
        let bytes = std::fs::metadata(&path).map_err(CorpusError::io(&path))?.len();
        let format = if format == Format::Auto { by_extension(&path).unwrap_or(Format::Text) } else { format };
        let name = name_of(&path, base);
        Ok(Self { path, name, format, bytes })
    }
}

/// The files that `paths` (files, folders, patterns; relative ones below `base`) name: sorted,
/// each once.
pub(crate) fn expand(paths: &[String], base: &Path, format: Format) -> Result<Vec<PathBuf>, CorpusError> {
    let mut files = Vec::new();
    for given in paths {
        let before = files.len();
        let given = &with_data_folder(given)?;
        let path = base.join(given);
        if path.is_dir() {
            walk(&path, format, 0, &mut files)?;
        } else if path.exists() || !is_pattern(given) {
            std::fs::metadata(&path).map_err(CorpusError::io(&path))?;
            files.push(path);
        } else {
            matches(given, base, &mut files)?;
        }
        if files.len() == before {
            return Err(CorpusError::NoMatch { pattern: given.clone() });
        }
    }
    files.sort();
    files.dedup();
    Ok(files)
}

/// The folder of texts that recipes may name without saying where it is.
const DATA_VARIABLE: &str = "INKSTONE_DATA";

fn data_folder() -> Option<String> {
    std::env::var(DATA_VARIABLE).ok().filter(|folder| !folder.is_empty())
}

/// A path with `${INKSTONE_DATA}` at its beginning replaced by the folder.
fn with_data_folder(given: &str) -> Result<String, CorpusError> {
    match given.strip_prefix("${INKSTONE_DATA}") {
        None => Ok(given.to_owned()),
        Some(rest) => match data_folder() {
            Some(folder) => Ok(folder + rest),
            None => Err(CorpusError::NoDataFolder { path: given.to_owned() }),
        },
    }
}

/// What a file is called in ids: relative to the recipe's folder or to that of the data, so that it does not depend on where
/// either stands.
fn name_of(path: &Path, base: &Path) -> String {
    let data = data_folder().and_then(|folder| path.strip_prefix(folder).ok());
    path.strip_prefix(base).ok().or(data).unwrap_or(path).to_string_lossy().replace('\\', "/")
}

fn is_pattern(given: &str) -> bool {
    given.contains(['*', '?', '['])
}

fn matches(given: &str, base: &Path, files: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
    let whole = if Path::new(given).is_absolute() {
        given.to_owned()
    } else {
        format!("{}/{given}", glob::Pattern::escape(&base.to_string_lossy()))
    };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let refuse = |reason: String| CorpusError::Pattern { pattern: given.to_owned(), reason };
    for entry in glob::glob_with(&whole, options).map_err(|error| refuse(error.to_string()))? {
        let path = entry.map_err(|error| {
            let path = error.path().to_owned();
            CorpusError::io(&path)(error.into())
        })?;
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

/// All files of a folder that `format` can be, hidden ones left out.
fn walk(folder: &Path, format: Format, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
    for entry in std::fs::read_dir(folder).map_err(CorpusError::io(folder))? {
        let path = entry.map_err(CorpusError::io(folder))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() && depth < MAX_DEPTH {
            walk(&path, format, depth + 1, files)?;
        } else if path.is_file() && (format != Format::Auto || by_extension(&path).is_some()) {
            files.push(path);
        }
    }
    Ok(())
}

/// The format that a file's extension tells, `None` for an unknown one.
fn by_extension(path: &Path) -> Option<Format> {
    let packed = compression(path).is_some();
    let inner = if packed { path.with_extension("") } else { path.to_owned() };
    let extension = inner.extension()?.to_str()?.to_ascii_lowercase();
    match extension.as_str() {
        "txt" | "text" | "md" | "markdown" | "rst" | "org" => Some(Format::Text),
        "jsonl" | "ndjson" => Some(Format::Jsonl),
        "json" => Some(Format::Json),
        "csv" => Some(Format::Csv),
        "tsv" => Some(Format::Tsv),
        "parquet" if !packed => Some(Format::Parquet),
        _ => None,
    }
}
