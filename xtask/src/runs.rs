//! What a run left behind.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// One stage of a finished run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Made {
    /// Name in the recipe.
    pub(crate) stage: String,
    /// BLAKE3 over the names and bytes of its files.
    pub(crate) content: String,
    /// Wall time.
    pub(crate) seconds: f64,
    /// When its manifest was written: times in manifests are whole seconds.
    ended: SystemTime,
}

#[cfg(test)]
impl Made {
    /// A stage that took so long.
    pub(crate) fn lasting(seconds: f64) -> Self {
        Self { stage: String::new(), content: String::new(), seconds, ended: SystemTime::UNIX_EPOCH }
    }
}

/// The stages of the one recipe that was run in `folder`, in the order in which they ended.
pub(crate) fn stages(folder: &Path) -> Result<Vec<Made>> {
    let recipe = recipe_folder(folder)?.with_context(|| format!("nothing was run in {}", folder.display()))?;
    let mut made = Vec::new();
    for entry in std::fs::read_dir(&recipe)? {
        let path = entry?.path();
        if path.join("manifest.json").exists() {
            made.push(read(&path)?);
        }
    }
    made.sort_by(|a, b| (a.ended, &a.stage).cmp(&(b.ended, &b.stage)));
    if made.is_empty() {
        bail!("{} holds no artifacts", recipe.display());
    }
    Ok(made)
}

/// Whether the run in `folder` has finished `stage`.
pub(crate) fn is_finished(folder: &Path, stage: &str) -> bool {
    let recipe = recipe_folder(folder).ok().flatten();
    recipe.is_some_and(|recipe| recipe.join(stage).join("manifest.json").exists())
}

/// `runs/<recipe>` of the recipe that was run in `folder`.
fn recipe_folder(folder: &Path) -> Result<Option<PathBuf>> {
    let runs = folder.join("runs");
    if !runs.exists() {
        return Ok(None);
    }
    let mut recipes = Vec::new();
    for entry in std::fs::read_dir(&runs)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with('.') && entry.path().is_dir() {
            recipes.push(entry.path());
        }
    }
    if recipes.len() > 1 {
        bail!("{} holds several recipes", runs.display());
    }
    Ok(recipes.pop())
}

fn read(artifact: &Path) -> Result<Made> {
    let path = artifact.join("manifest.json");
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let manifest: Value = serde_json::from_str(&text).with_context(|| format!("parsing {}", path.display()))?;
    let content = manifest["content"].as_str().unwrap_or_default().to_owned();
    let ended = path.metadata()?.modified()?;
    let stage = artifact.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let seconds = manifest["cost"]["seconds"].as_f64().unwrap_or(0.0);
    Ok(Made { stage, content, seconds, ended })
}

/// Prints the content of every stage, one column a run; says whether all columns are equal.
pub(crate) fn compare(titles: &[&str], columns: &[Vec<Made>]) -> bool {
    let width = columns[0].iter().map(|made| made.stage.len()).max().unwrap_or(0).max(5);
    println!(
        "{:width$}  {}  same",
        "stage",
        titles.iter().map(|title| format!("{title:16}")).collect::<Vec<_>>().join("  ")
    );
    let mut all = columns.iter().all(|column| column.len() == columns[0].len());
    for made in &columns[0] {
        let contents: Vec<&str> = columns
            .iter()
            .map(|column| {
                column.iter().find(|other| other.stage == made.stage).map_or("(missing)", |other| &other.content)
            })
            .collect();
        let same = contents.iter().all(|&content| content == made.content && !content.is_empty());
        let cells: Vec<_> = contents.iter().map(|content| format!("{content:16.16}")).collect();
        println!("{:width$}  {}  {}", made.stage, cells.join("  "), if same { "yes" } else { "NO" });
        all &= same;
    }
    all
}
