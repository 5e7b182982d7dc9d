//! The report of a run: one HTML file that needs nothing else.

mod chart;
mod comparison;
mod graph;
mod verdicts;

use std::path::{Path, PathBuf};

use anyhow::Context;
use inkstone_recipe::{FileEntry, RunReport, StageReport};
use minijinja::Environment;
use serde::Serialize;
use serde_json::{Value, json};

use crate::printer::{bytes, duration, short, thousands};
use chart::{Chart, Series};

const TEMPLATE: &str = include_str!("report.html");

/// Largest log file that is read.
const MAX_LOG_BYTES: u64 = 256 << 20;

/// Writes `runs/<recipe>/report.html`.
pub(crate) fn write(report: &RunReport) -> anyhow::Result<PathBuf> {
    let path = report.folder.join("report.html");
    let html = render(report).context("drawing the report")?;
    inkstone_recipe::fs::write_atomic(&path, html.as_bytes())?;
    Ok(path)
}

fn render(report: &RunReport) -> anyhow::Result<String> {
    let mut environment = Environment::new();
    environment.add_template("report.html", TEMPLATE)?;
    let last = report.stages.last().map(|stage| &stage.artifact.manifest);
    let page = json!({
        "recipe": report.recipe,
        "ended": report.stages.iter().map(|stage| stage.artifact.manifest.ended.as_str()).max(),
        "numeric_path": last.map(|manifest| manifest.numeric_path.as_str()),
        "figures": figures(&report.stages),
        "trainings": report.stages.iter().filter_map(training).collect::<Vec<_>>(),
        "evaluations": report.stages.iter().filter_map(evaluation).collect::<Vec<_>>(),
        "comparisons": report.stages.iter().filter_map(|stage| comparison::comparison(stage, &report.stages)).collect::<Vec<_>>(),
        "accuracies": comparison::accuracies(&report.stages),
        "maps": report.stages.iter().filter_map(|stage| Some([stage.name.clone(), comparison::map(stage)?])).collect::<Vec<_>>(),
        "verdicts": report.stages.iter().filter_map(verdicts::read).collect::<Vec<_>>(),
        "graph": graph::draw(&report.stages),
        "sources": report.stages.iter().filter_map(sources).collect::<Vec<_>>(),
        "costs": report.stages.iter().map(cost).collect::<Vec<_>>(),
        "total": total(&report.stages),
        "recipe_toml": last.map(|manifest| manifest.recipe_toml.as_str()),
    });
    Ok(environment.get_template("report.html")?.render(minijinja::Value::from(minijinja::value::Serde(page)))?)
}

/// A number in large type with its name.
#[derive(Debug, Serialize)]
struct Figure {
    name: String,
    value: String,
}

fn figures(stages: &[StageReport]) -> Vec<Figure> {
    let metric = |key: &str| stages.iter().rev().find_map(|stage| stage.artifact.manifest.metrics.get(key)?.as_f64());
    let seconds: f64 = stages.iter().map(|stage| stage.artifact.manifest.cost.seconds).sum();
    let percent = |x: f64| format!("{:.1} %", x * 100.0);
    let figures = [
        ("parameters", metric("parameters").map(short)),
        ("tokens trained on", trained_on(stages).map(short)),
        ("validation loss", metric("loss").map(|x| format!("{x:.3}"))),
        ("bits per byte", metric("bits_per_byte").map(|x| format!("{x:.3}"))),
        ("right, English", metric("accuracy_en").map(percent)),
        ("right, Chinese", metric("accuracy_zh").map(percent)),
        ("time to make", Some(duration(seconds))),
    ];
    figures.into_iter().filter_map(|(name, value)| Some(Figure { name: name.to_owned(), value: value? })).collect()
}

/// Tokens of all training stages together.
fn trained_on(stages: &[StageReport]) -> Option<f64> {
    let trained = stages.iter().filter_map(|stage| stage.artifact.manifest.metrics.get("tokens")?.as_f64());
    Some(trained.sum()).filter(|&sum: &f64| sum > 0.0)
}

/// The curves and samples of a training stage.
#[derive(Debug, Serialize)]
struct Training {
    name: String,
    loss: String,
    rate: String,
    samples: Vec<Value>,
}

/// Samples shown of a stage.
const SAMPLES: usize = 8;

fn training(stage: &StageReport) -> Option<Training> {
    let logs = stage.artifact.folder.join("logs");
    let metrics = lines(&logs.join("metrics.jsonl"));
    let series = |name: &str, tag: &str| Series {
        name: name.to_owned(),
        points: metrics
            .iter()
            .filter_map(|line| Some((line.get("step")?.as_f64()?, line.get(tag)?.as_f64()?)))
            .collect(),
    };
    let loss = [series("training", "train/loss"), series("validation", "val/loss")];
    if loss[0].points.is_empty() {
        return None;
    }
    let samples = lines(&logs.join("samples.jsonl"));
    Some(Training {
        name: stage.name.clone(),
        loss: Chart { title: "loss (nats per token) by step", series: &loss }.draw(),
        rate: Chart { title: "learning rate by step", series: &[series("learning rate", "train/lr")] }.draw(),
        samples: samples.into_iter().rev().take(SAMPLES).collect(),
    })
}

fn lines(path: &Path) -> Vec<Value> {
    let text = inkstone_recipe::fs::read_to_string(path, MAX_LOG_BYTES).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// `evaluation.json` with its intervals as text.
#[derive(Debug, Serialize)]
struct Evaluation {
    name: String,
    results: Vec<[String; 4]>,
    examples: Vec<Value>,
}

fn evaluation(stage: &StageReport) -> Option<Evaluation> {
    let text =
        inkstone_recipe::fs::read_to_string(&stage.artifact.folder.join("evaluation.json"), MAX_LOG_BYTES).ok()?;
    let value: Value = serde_json::from_str(&text).ok()?;
    let row = |result: &Value| {
        let percent =
            |key: &str| result[key].as_f64().map_or_else(|| "-".to_owned(), |x| format!("{:.1} %", x * 100.0));
        let text = |key: &str| result[key].as_str().unwrap_or("-").to_owned();
        let interval = format!("{} to {}", percent("accuracy_low"), percent("accuracy_high"));
        [
            text("name"),
            text("lang"),
            format!("{} of {}", percent("accuracy"), thousands(result["n"].as_u64().unwrap_or(0))),
            interval,
        ]
    };
    Some(Evaluation {
        name: stage.name.clone(),
        results: value["results"].as_array()?.iter().map(row).collect(),
        examples: value["examples"].as_array().cloned().unwrap_or_default(),
    })
}

/// The files that a stage read from outside.
#[derive(Debug, Serialize)]
struct Sources {
    stage: String,
    total: String,
    files: Vec<String>,
}

/// Files that are listed by name.
const FILES: usize = 12;

fn sources(stage: &StageReport) -> Option<Sources> {
    let files = &stage.artifact.manifest.sources;
    let size: u64 = files.iter().map(|file| file.bytes).sum();
    let line = |file: &FileEntry| format!("{}, {}, BLAKE3 {:.12}", file.path, bytes(file.bytes), file.blake3);
    let more = files.len().saturating_sub(FILES);
    let rest = (more > 0).then(|| format!("and {} more", thousands(more as u64)));
    (!files.is_empty()).then(|| Sources {
        stage: stage.name.clone(),
        total: format!("{} file(s), {}", thousands(files.len() as u64), bytes(size)),
        files: files.iter().take(FILES).map(line).chain(rest).collect(),
    })
}

/// A line of the table of costs: what was measured, what was foreseen, and how far apart they are.
#[derive(Debug, Serialize)]
struct Cost {
    name: String,
    kind: String,
    cached: bool,
    seconds: Compared,
    memory: Compared,
    bytes: String,
}

#[derive(Debug, Serialize)]
struct Compared {
    measured: String,
    predicted: String,
    deviation: String,
}

fn cost(stage: &StageReport) -> Cost {
    let manifest = &stage.artifact.manifest;
    let predicted = |key: &str| manifest.predicted.as_ref().and_then(|value| value.get(key)?.as_f64());
    let peak = manifest.cost.peak_bytes.map(|n| n as f64);
    Cost {
        name: stage.name.clone(),
        kind: manifest.kind.clone(),
        cached: stage.cached,
        seconds: compare(Some(manifest.cost.seconds), predicted("seconds"), SHORT, duration),
        memory: compare(peak, predicted("peak_bytes"), SMALL, |n| bytes(n as u64)),
        bytes: bytes(stage.artifact.bytes()),
    }
}

/// The time of all stages that were foreseen and not cached.
fn total(stages: &[StageReport]) -> Compared {
    let pair = |stage: &StageReport| {
        let manifest = &stage.artifact.manifest;
        let predicted = manifest.predicted.as_ref()?.get("seconds")?.as_f64()?;
        (!stage.cached).then_some((manifest.cost.seconds, predicted))
    };
    let (measured, predicted): (Vec<f64>, Vec<f64>) = stages.iter().filter_map(pair).unzip();
    compare(Some(measured.iter().sum()), Some(predicted.iter().sum()), SHORT, duration)
}

/// Seconds below which start and end weigh more than the work.
const SHORT: f64 = 1.0;
/// Bytes below which the program itself weighs more than the work.
const SMALL: f64 = 256e6;

/// How far off a prediction is, of what is at least `least`.
fn compare(measured: Option<f64>, predicted: Option<f64>, least: f64, show: impl Fn(f64) -> String) -> Compared {
    let text = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), &show);
    let deviation = measured.zip(predicted).filter(|(measured, _)| *measured >= least);
    let deviation = deviation
        .map_or_else(String::new, |(measured, predicted)| format!("{:+.0} %", (predicted / measured - 1.0) * 100.0));
    Compared { measured: text(measured), predicted: text(predicted), deviation }
}
