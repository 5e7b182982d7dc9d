//! From numbers to blocks.
//!
//! - [`Method::Nearest`]: each number to the nearest that its block can hold.
//! - [`Method::Importance`]: the scales of a block lose least where inputs are large, as measured on a text.
//! - [`Method::Gptq`]: each rounding error is made good by the numbers that are not rounded yet (arXiv:2210.17323).
//! - [`Method::Awq`]: weights that large inputs meet are made larger before they are rounded, and the inputs smaller (arXiv:2306.00978).

mod awq;
mod calibrate;
mod cholesky;
mod gptq;
mod judge;
mod target;

pub use awq::Scales;
pub use calibrate::{Calibration, Statistics, calibrate};
pub use judge::{Judgement, judge};
pub use target::Target;

use inkstone_nn::BlockFormat;

/// How numbers become blocks.
#[derive(Debug)]
pub enum Method {
    /// Round to nearest.
    Nearest,
    /// Round to nearest, errors weighted by the mean square of each input.
    Importance(Calibration),
    /// Errors are handed on to later columns.
    Gptq(Calibration),
    /// As importance, of weights that were scaled.
    Awq(Scales),
}

impl Method {
    /// The blocks of the folder's tensor `name`, `values[rows, width]`. A tensor that the calibration did not meet is rounded to nearest.
    pub(crate) fn blocks(&self, format: BlockFormat, name: &str, values: &[f32], width: usize) -> Vec<u8> {
        let nearest =
            |importance: Option<&[f32]>| inkstone_kernels::quantised::quantise(format, values, width, importance);
        match self {
            Self::Nearest => nearest(None),
            Self::Importance(calibration) => nearest(calibration.mean_squares(name).as_deref()),
            Self::Gptq(calibration) => match calibration.second_moments(name) {
                Some(moments) => gptq::quantise(format, values, width, moments),
                None => nearest(None),
            },
            Self::Awq(scales) => scales.blocks(format, name, values, width),
        }
    }

    /// Changes the folder's tensor `name` before it is written, without a change to what the model computes.
    pub(crate) fn prepare(&self, name: &str, values: &mut [f32], width: usize) {
        if let Self::Awq(scales) = self {
            scales.apply(name, values, width);
        }
    }
}
