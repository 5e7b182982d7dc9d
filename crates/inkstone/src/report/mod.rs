//! The report of a run.

use std::path::{Path, PathBuf};

use inkstone_recipe::{RunReport, Store};

pub(crate) fn write(report: &RunReport, _store: &Store) -> anyhow::Result<PathBuf> {
    let _: &Path = &report.folder;
    Ok(report.folder.join("report.html"))
}
