//! What the inputs of each product look like on a text.

use std::collections::BTreeMap;
use std::sync::Arc;

use inkstone_formats::hf::ModelFolder;
use inkstone_models::{Model, NoObserver, Over, Pass, Read};
use inkstone_nn::{Moments, Precision};

use crate::CompressError;

/// Tokens that a calibration needs at least.
const LEAST: usize = 32;

/// What is measured of the inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statistics {
    /// The mean square of each.
    Squares,
    /// The mean product of each two: `inputs²` numbers for each product of the model.
    Products,
}

/// The inputs of every product of a model, by the name of its weight.
#[derive(Debug)]
pub struct Calibration {
    moments: BTreeMap<String, Arc<Moments>>,
}

impl Calibration {
    /// The mean square of each input of the product with `name`.
    pub(crate) fn mean_squares(&self, name: &str) -> Option<Vec<f32>> {
        Some(self.moments.get(name)?.mean_squares())
    }

    /// All that was measured of the inputs of the product with `name`.
    pub(crate) fn second_moments(&self, name: &str) -> Option<&Moments> {
        self.moments.get(name).map(AsRef::as_ref)
    }
}

/// Runs the model of `folder` over `ids`, in rows of `context` tokens, and watches every product. `progress` hears how many tokens of how many
/// are done; when it answers false the calibration ends early.
pub fn calibrate(
    folder: &ModelFolder,
    (ids, context): (&[u32], usize),
    statistics: Statistics,
    progress: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Calibration, CompressError> {
    if ids.len() < LEAST {
        return Err(CompressError::Calibration { got: ids.len(), expected: LEAST });
    }
    let mut read = Read::new(folder);
    let mut moments = BTreeMap::new();
    let mut watching = Over::new(&mut read, |inner, wanted| {
        let seen = Arc::new(Moments::new(wanted.inputs, statistics == Statistics::Products));
        moments.insert(format!("{}.weight", wanted.name), Arc::clone(&seen));
        Ok(inner.projection(wanted)?.watched(seen))
    });
    let model = Model::build(folder.config(), &mut watching, Precision::F32, &inkstone_nn::device())?;
    read.finish()?;
    let mut done = 0;
    for row in ids.chunks(context.max(1)) {
        let mut observer = NoObserver;
        drop(model.forward(row, 1, &mut Pass::new(&mut observer)));
        done += row.len() as u64;
        if !progress(done, ids.len() as u64) {
            break;
        }
    }
    Ok(Calibration { moments })
}
