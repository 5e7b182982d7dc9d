//! `metrics.jsonl` (the truth), TensorBoard events made from it, and `samples.jsonl`.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use inkstone_formats::tensorboard::EventWriter;
use serde_json::{Map, Value};

use crate::TrainError;

/// Steps over which the reported training loss is averaged.
const AVERAGED: usize = 50;

/// The log files of a run. They hold times, so they stay outside an artifact's content.
pub(crate) struct RunLog {
    folder: PathBuf,
    metrics: File,
    samples: File,
    events: EventWriter,
    recent: VecDeque<f64>,
    seconds_before: f64,
    started: std::time::Instant,
}

impl RunLog {
    /// Opens the logs in `folder`; what was written after `step` is taken back, since the run goes
    /// on from there.
    pub(crate) fn resume(folder: &Path, step: u64) -> Result<Self, TrainError> {
        std::fs::create_dir_all(folder).map_err(|source| log_error(folder, source))?;
        let metrics = keep_until(&folder.join("metrics.jsonl"), step)?;
        keep_until(&folder.join("samples.jsonl"), step)?;
        let mut log = Self {
            folder: folder.to_owned(),
            metrics: append(&folder.join("metrics.jsonl"))?,
            samples: append(&folder.join("samples.jsonl"))?,
            events: open_events(folder)?,
            recent: VecDeque::with_capacity(AVERAGED),
            seconds_before: metrics.last().and_then(|line| line.get("seconds")?.as_f64()).unwrap_or(0.0),
            started: std::time::Instant::now(),
        };
        for line in &metrics {
            log.remember(line);
            log.write_events(line)?;
        }
        Ok(log)
    }

    /// Wall seconds of training, those before an interruption included.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds_before + self.started.elapsed().as_secs_f64()
    }

    /// One line of numbers: `step`, `tokens`, `seconds` and the tags that TensorBoard shows.
    pub(crate) fn metrics(&mut self, step: u64, tokens: u64, values: &[(&str, f64)]) -> Result<(), TrainError> {
        let mut line = Map::new();
        line.insert("step".into(), step.into());
        line.insert("tokens".into(), tokens.into());
        line.insert("seconds".into(), self.seconds().into());
        line.extend(values.iter().map(|&(tag, value)| (tag.to_owned(), value.into())));
        write_line(&mut self.metrics, &self.folder.join("metrics.jsonl"), &line)?;
        self.remember(&line);
        self.write_events(&line)
    }

    /// Mean training loss of the last steps.
    pub(crate) fn mean_recent_loss(&self) -> f64 {
        self.recent.iter().sum::<f64>() / self.recent.len().max(1) as f64
    }

    /// The last `n` training losses, oldest first.
    pub(crate) fn last_losses(&self, n: usize) -> Vec<f64> {
        self.recent.iter().skip(self.recent.len().saturating_sub(n)).copied().collect()
    }

    /// One sample of the model.
    pub(crate) fn sample(&mut self, step: u64, prompt: &str, text: &str) -> Result<(), TrainError> {
        let line = serde_json::json!({"step": step, "prompt": prompt, "text": text});
        let line = line.as_object().expect("invariant: built as an object");
        write_line(&mut self.samples, &self.folder.join("samples.jsonl"), line)
    }

    /// Writes everything to disk.
    pub(crate) fn flush(&mut self) -> Result<(), TrainError> {
        self.events.flush().map_err(|error| log_error(&self.folder, std::io::Error::other(error)))?;
        self.metrics.sync_data().map_err(|source| log_error(&self.folder, source))
    }

    fn remember(&mut self, line: &Map<String, Value>) {
        let Some(loss) = line.get("train/loss").and_then(Value::as_f64) else { return };
        if self.recent.len() == AVERAGED {
            self.recent.pop_front();
        }
        self.recent.push_back(loss);
    }

    fn write_events(&mut self, line: &Map<String, Value>) -> Result<(), TrainError> {
        let number = |key: &str| line.get(key).and_then(Value::as_f64);
        let step = number("step").unwrap_or(0.0) as i64;
        let scalars: Vec<(&str, f32)> = line
            .iter()
            .filter(|(tag, _)| tag.contains('/'))
            .filter_map(|(tag, value)| Some((tag.as_str(), value.as_f64()? as f32)))
            .collect();
        self.events.scalars(step, &scalars).map_err(|error| log_error(&self.folder, std::io::Error::other(error)))
    }
}

/// Copies the log files into `out`, the `logs` folder of an artifact.
pub(crate) fn publish(folder: &Path, out: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(out).map_err(|source| log_error(out, source))?;
    let entries = std::fs::read_dir(folder).map_err(|source| log_error(folder, source))?;
    for entry in entries {
        let path = entry.map_err(|source| log_error(folder, source))?.path();
        let Some(name) = path.file_name() else { continue };
        std::fs::copy(&path, out.join(name)).map_err(|source| log_error(&path, source))?;
    }
    Ok(())
}

/// Rewrites a file of JSON lines without those after `step` and without a last line cut by a kill.
fn keep_until(path: &Path, step: u64) -> Result<Vec<Map<String, Value>>, TrainError> {
    let Ok(file) = File::open(path) else { return Ok(Vec::new()) };
    let mut kept = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.map_err(|source| log_error(path, source))?;
        match serde_json::from_str::<Map<String, Value>>(&line) {
            Ok(object) if object.get("step").and_then(Value::as_u64).is_some_and(|at| at <= step) => kept.push(object),
            _ => break,
        }
    }
    let text: String = kept.iter().map(|line| Value::Object(line.clone()).to_string() + "\n").collect();
    inkstone_recipe::fs::write_atomic(path, text.as_bytes())
        .map_err(|error| log_error(path, std::io::Error::other(error)))?;
    Ok(kept)
}

fn open_events(folder: &Path) -> Result<EventWriter, TrainError> {
    let entries = std::fs::read_dir(folder).map_err(|source| log_error(folder, source))?;
    for entry in
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("events.out.tfevents."))
    {
        std::fs::remove_file(entry.path()).map_err(|source| log_error(&entry.path(), source))?;
    }
    EventWriter::create(folder).map_err(|error| log_error(folder, std::io::Error::other(error)))
}

fn append(path: &Path) -> Result<File, TrainError> {
    OpenOptions::new().create(true).append(true).open(path).map_err(|source| log_error(path, source))
}

fn write_line(file: &mut File, path: &Path, line: &Map<String, Value>) -> Result<(), TrainError> {
    let text = serde_json::to_string(line).expect("invariant: a JSON object can be written") + "\n";
    file.write_all(text.as_bytes()).map_err(|source| log_error(path, source))
}

fn log_error(path: &Path, source: std::io::Error) -> TrainError {
    TrainError::Log { path: path.to_owned(), source }
}
