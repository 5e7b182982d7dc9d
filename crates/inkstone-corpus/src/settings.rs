//! What the configs of both stages over texts have in common: defaults, origins, estimates.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_recipe::stage::SOURCES;
use inkstone_recipe::{Context, Estimate, Forecast, Input};

use crate::error::CorpusError;
use crate::read::Format;
use crate::read::source::{Source, expand};

/// Bytes of source text that both passes read, hash, compress and write in a second on one core:
/// measured on 2 GB of lines of 100 bytes, the slowest case; large documents take a third of it.
const BYTES_PER_SECOND: f64 = 50e6;
/// Peak memory of the pipeline beside what the documents themselves take: measured on the same.
const BASE_PEAK_BYTES: u64 = 20 << 20;

pub(crate) fn one_mebibyte() -> usize {
    1 << 20
}
pub(crate) fn yes() -> bool {
    true
}
pub(crate) fn one_in_twenty() -> f64 {
    0.05
}
pub(crate) fn one() -> u64 {
    1
}
pub(crate) fn hundred() -> u64 {
    100
}

pub(crate) fn check_share(validation: f64) -> Result<(), String> {
    let good = (0.0..=0.5).contains(&validation);
    if good { Ok(()) } else { Err(format!("`validation` is {validation}, and must be between 0 and 0.5")) }
}

/// Where the records of a stage come from: files that the recipe names, or a world.
pub(crate) struct Origin<'a> {
    pub(crate) from: Option<&'a String>,
    pub(crate) paths: &'a [String],
    pub(crate) format: Format,
    /// How the names of a world's files begin.
    pub(crate) prefix: &'static str,
}

impl Origin<'_> {
    pub(crate) fn check(&self) -> Result<(), String> {
        match (self.from, self.paths) {
            (None, []) => {
                Err("`paths` is missing: name files, folders or patterns (or a world stage in `from`)".to_owned())
            }
            (Some(_), [_, ..]) => Err("`paths` and `from` can't both be set".to_owned()),
            _ => Ok(()),
        }
    }

    pub(crate) fn inputs(&self) -> Vec<Input> {
        self.from
            .iter()
            .map(|stage| Input { field: "from", stage: (*stage).clone(), kinds: &["world", "arithmetic", "feedback"] })
            .collect()
    }

    pub(crate) fn files(&self, base: &Path) -> Result<Vec<PathBuf>, CorpusError> {
        expand(self.paths, base, self.format)
    }

    pub(crate) fn sources(&self, context: &Context<'_>) -> Result<Vec<Source>, CorpusError> {
        let (files, base, format) = if self.from.is_some() {
            let folder = context.input("from").folder.clone();
            (expand(&[self.pattern()], &folder, Format::Jsonl)?, folder, Format::Jsonl)
        } else {
            (self.files(&context.base)?, context.base.clone(), self.format)
        };
        files.into_iter().map(|path| Source::new(path, &base, format)).collect()
    }

    fn pattern(&self) -> String {
        format!("{}.*.jsonl", self.prefix)
    }

    /// The size of what will be read, as far as it can be told before.
    pub(crate) fn forecast_bytes(&self, inputs: &BTreeMap<String, Forecast>) -> Option<f64> {
        let Some(world) = inputs.get("from") else {
            return inputs.get(SOURCES)?.metrics.get("bytes").copied();
        };
        let named = [format!("{}_bytes", self.prefix), "bytes".to_owned()];
        let metric = named.iter().find_map(|name| world.metrics.get(name).copied());
        let measured = || size_of_files(&[self.pattern()], world.folder.as_deref()?, Format::Jsonl);
        metric.or_else(measured)
    }
}

fn size_of_files(paths: &[String], base: &Path, format: Format) -> Option<f64> {
    let files = expand(paths, base, format).ok()?;
    let sizes = files.iter().map(|path| std::fs::metadata(path).map(|data| data.len()));
    sizes.sum::<std::io::Result<u64>>().ok().map(|bytes| bytes as f64)
}

/// Typical bytes of a document, for want of knowing better.
const BYTES_PER_DOCUMENT: f64 = 1000.0;

/// From the size of the sources to what will come of them.
pub(crate) fn estimate(bytes: Option<f64>, validation: f64, names: &[&str], longest: u64) -> Estimate {
    let Some(bytes) = bytes else {
        return Estimate::default();
    };
    let mut metrics = BTreeMap::from([
        ("bytes".to_owned(), bytes),
        ("characters".to_owned(), bytes),
        ("train_bytes".to_owned(), bytes * (1.0 - validation)),
        ("train_characters".to_owned(), bytes * (1.0 - validation)),
        ("validation_bytes".to_owned(), bytes * validation),
    ]);
    for name in names {
        let documents = (bytes / BYTES_PER_DOCUMENT).ceil();
        metrics.insert((*name).to_owned(), documents);
        metrics.insert(format!("train_{name}"), documents * (1.0 - validation));
        metrics.insert(format!("validation_{name}"), documents * validation);
    }
    Estimate {
        seconds: Some(bytes / BYTES_PER_SECOND),
        peak_bytes: Some(BASE_PEAK_BYTES + 8 * longest),
        bytes: Some((bytes / 2.5) as u64),
        metrics,
        ..Estimate::default()
    }
}
