//! What the configs of both stages over texts have in common: defaults, origins, estimates.

use std::collections::BTreeMap;
use std::path::Path;

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

pub(crate) fn check_origin(from: Option<&String>, paths: &[String]) -> Result<(), String> {
    match (from, paths) {
        (None, []) => {
            Err("`paths` is missing: name files, folders or patterns (or a world stage in `from`)".to_owned())
        }
        (Some(_), [_, ..]) => Err("`paths` and `from` can't both be set".to_owned()),
        _ => Ok(()),
    }
}

pub(crate) fn check_share(validation: f64) -> Result<(), String> {
    let good = (0.0..=0.5).contains(&validation);
    if good { Ok(()) } else { Err(format!("`validation` is {validation}, and must be between 0 and 0.5")) }
}

pub(crate) fn inputs(from: Option<&String>) -> Vec<Input> {
    from.iter().map(|stage| Input { field: "from", stage: (*stage).clone(), kinds: &["world"] }).collect()
}

/// The files of a world whose names begin with `prefix`, or those that the recipe names.
pub(crate) fn sources(
    prefix: Option<&str>,
    paths: &[String],
    format: Format,
    context: &Context<'_>,
) -> Result<Vec<Source>, CorpusError> {
    let (files, base, format) = match prefix {
        None => (expand(paths, &context.base, format)?, context.base.clone(), format),
        Some(prefix) => {
            let folder = context.input("from").folder.clone();
            (expand(&[format!("{prefix}.*.jsonl")], &folder, Format::Jsonl)?, folder, Format::Jsonl)
        }
    };
    files.into_iter().map(|path| Source::new(path, &base, format)).collect()
}

/// The size of what will be read, as far as it can be told before.
pub(crate) fn forecast_bytes(
    paths: &[String],
    format: Format,
    inputs: &BTreeMap<String, Forecast>,
    prefix: &str,
) -> Option<f64> {
    let Some(world) = inputs.get("from") else {
        return size_of_files(paths, Path::new("."), format);
    };
    let named = [format!("{prefix}_bytes"), "bytes".to_owned()];
    let metric = named.iter().find_map(|name| world.metrics.get(name).copied());
    let measured = || size_of_files(&[format!("{prefix}.*.jsonl")], world.folder.as_deref()?, Format::Jsonl);
    metric.or_else(measured)
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
