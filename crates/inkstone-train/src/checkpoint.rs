//! Checkpoints: trained weights, their moments and the number of steps taken.
//!
//! The learning rate, the loader's position and every random draw are functions of the step, so
//! the step is all the state there is besides the tensors. A checkpoint is written aside, synced
//! and renamed; one that does not match its hashes is named and the one before it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_formats::safetensors::{
    TensorFile, TensorLayout, TensorView, TensorWriter, f32_bytes, to_f32, write_tensors,
};
use inkstone_models::Model;
use inkstone_recipe::hash::hash_file;
use inkstone_recipe::{Progress, fs};
use serde::{Deserialize, Serialize};

use crate::TrainError;
use crate::optimizer::Optimizer;

/// Newest checkpoints that are kept.
const KEPT: usize = 2;
const WEIGHTS: &str = "model.safetensors";
const MOMENTS: &str = "optimizer.safetensors";
const STATE: &str = "state.json";

/// `state.json` of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    format: u32,
    step: u64,
    blake3: BTreeMap<String, String>,
}

/// The checkpoints of one run, in `folder/step-0001000`.
#[derive(Debug)]
pub struct Checkpoints {
    folder: PathBuf,
}

impl Checkpoints {
    /// Checkpoints below `state`, the folder that survives a kill.
    pub fn new(state: &Path) -> Self {
        Self { folder: state.join("checkpoints") }
    }

    /// Saves the state after `step` steps and removes checkpoints that are no longer needed.
    pub fn save(&self, step: u64, model: &Model, optimizer: &Optimizer) -> Result<(), TrainError> {
        let aside = self.folder.join(format!("step-{step:07}.partial"));
        let written = Self::write(&aside, step, model, optimizer).and_then(|()| {
            let folder = self.folder.join(format!("step-{step:07}"));
            fs::remove_dir_all(&folder)?;
            Ok(fs::rename(&aside, &folder)?)
        });
        if written.is_err() {
            // What is half-written only takes the space that the next attempt needs.
            let _ = fs::remove_dir_all(&aside);
        }
        written?;
        for old in self.steps().iter().rev().skip(KEPT) {
            fs::remove_dir_all(&self.folder.join(format!("step-{old:07}")))?;
        }
        Ok(())
    }

    /// Puts the newest good checkpoint into `model` and `optimizer`; the steps that it had taken,
    /// 0 without one.
    pub fn resume(
        &self,
        model: Model,
        optimizer: &mut Optimizer,
        progress: &dyn Progress,
    ) -> Result<(Model, u64), TrainError> {
        for step in self.steps().into_iter().rev() {
            match self.check(step) {
                Ok(()) => return self.load(step, model, optimizer),
                Err(error) => progress.warn(&format!("{error}; using the one before it")),
            }
        }
        Ok((model, 0))
    }

    /// Steps of the finished checkpoints, ascending.
    fn steps(&self) -> Vec<u64> {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return Vec::new() };
        let mut steps: Vec<u64> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("step-")?.parse().ok())
            .collect();
        steps.sort_unstable();
        steps
    }

    fn write(aside: &Path, step: u64, model: &Model, optimizer: &Optimizer) -> Result<(), TrainError> {
        fs::remove_dir_all(aside)?;
        fs::create_dir_all(aside)?;
        write_weights(&aside.join(WEIGHTS), model)?;
        write_moments(&aside.join(MOMENTS), optimizer)?;
        let blake3 = [WEIGHTS, MOMENTS]
            .into_iter()
            .map(|name| Ok((name.to_owned(), hash_file(&aside.join(name))?.0)))
            .collect::<Result<_, TrainError>>()?;
        let state = serde_json::to_vec_pretty(&State { format: 1, step, blake3 }).expect("invariant: plain data");
        let path = aside.join(STATE);
        fs::write_atomic(&path, &state)?;
        Ok(fs::sync_folder(aside)?)
    }

    /// Whether the files of a checkpoint are those that were written.
    fn check(&self, step: u64) -> Result<(), TrainError> {
        let folder = self.folder.join(format!("step-{step:07}"));
        let path = folder.join(STATE);
        let bytes = fs::read(&path, 1 << 20)?;
        let state: State = serde_json::from_slice(&bytes).map_err(|error| broken(&path, error))?;
        if state.format != 1 || state.step != step {
            return Err(broken(
                &path,
                format!("is of format {}, step {}; expected format 1, step {step}", state.format, state.step),
            ));
        }
        for name in [WEIGHTS, MOMENTS] {
            let path = folder.join(name);
            let (got, _) = hash_file(&path)?;
            if state.blake3.get(name) != Some(&got) {
                return Err(broken(&path, "does not match its hash (truncated or changed)"));
            }
        }
        Ok(())
    }

    fn load(&self, step: u64, model: Model, optimizer: &mut Optimizer) -> Result<(Model, u64), TrainError> {
        let folder = self.folder.join(format!("step-{step:07}"));
        let model = read_weights(&folder.join(WEIGHTS), model)?;
        let mut problem = None;
        let moments = open(&folder.join(MOMENTS))?;
        let restored = optimizer.restore(step, |slot| {
            let moment = |which: u8| tensor(&moments, &format!("{}.moment{which}", slot.name), slot.moment1.len());
            moment(1)
                .and_then(|first| Ok((first, moment(2)?)))
                .map_err(|what| problem = Some(broken(&folder.join(MOMENTS), what)))
                .ok()
        });
        match (problem, restored) {
            (None, Some(())) => Ok((model, step)),
            (problem, _) => Err(problem.unwrap_or_else(|| broken(&folder, "lacks a moment"))),
        }
    }
}

/// Puts the trained weights of a file into `model`.
pub(crate) fn read_weights(path: &Path, model: Model) -> Result<Model, TrainError> {
    let weights = open(path)?;
    let mut problem = None;
    let model = model.update_trainable(&mut |name, _shape, values| match tensor(&weights, name, values.len()) {
        Ok(saved) => values.copy_from_slice(&saved),
        Err(what) => problem = Some(broken(path, what)),
    });
    problem.map_or(Ok(model), Err)
}

/// Writes the trained weights of `model` into a file.
pub(crate) fn write_weights(path: &Path, model: &Model) -> Result<(), TrainError> {
    let mut layout = Vec::new();
    model.visit_trainable(&mut |name, shape, _| layout.push(TensorLayout::f32(name, shape)));
    let mut writer = TensorWriter::create(path, &layout, &[]).map_err(|error| broken(path, error))?;
    let mut written = Ok(());
    model.visit_trainable(&mut |name, _, values| {
        if written.is_ok() {
            written = writer.write(name, f32_bytes(values));
        }
    });
    written.and_then(|()| writer.finish()).map_err(|error| broken(path, error))
}

fn write_moments(path: &Path, optimizer: &Optimizer) -> Result<(), TrainError> {
    let views: Vec<_> = optimizer
        .slots()
        .iter()
        .flat_map(|slot| {
            [(1, &slot.moment1), (2, &slot.moment2)]
                .map(|(which, values)| (format!("{}.moment{which}", slot.name), TensorView::f32(&slot.shape, values)))
        })
        .collect();
    write_tensors(path, &views, &[]).map_err(|error| broken(path, error))
}

fn open(path: &Path) -> Result<TensorFile, TrainError> {
    TensorFile::open(path).map_err(|error| broken(path, error))
}

fn tensor(file: &TensorFile, name: &str, length: usize) -> Result<Vec<f32>, String> {
    let values = file.tensor(name).and_then(|tensor| to_f32(&tensor)).map_err(|error| error.to_string())?;
    if values.len() == length {
        Ok(values)
    } else {
        Err(format!("tensor {name} has {} values, expected {length}", values.len()))
    }
}

fn broken(path: &Path, what: impl std::fmt::Display) -> TrainError {
    TrainError::Checkpoint { path: path.to_owned(), what: what.to_string() }
}
