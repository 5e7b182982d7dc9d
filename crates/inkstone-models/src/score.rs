//! A head that scores each position, as `…ForSequenceClassification` with one label has it: reward models and value functions.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use inkstone_nn::{Precision, Projection, ProjectionWeights};
use serde_json::Value;

use crate::ModelError;
use crate::architecture::Kind;
use crate::builder::{Builder, Shape};
use crate::heads::{labels_of, stem};

/// The end of the class's name.
const CLASS: &str = "ForSequenceClassification";

/// `score`, `[1, e]`.
#[derive(Module, Debug)]
pub(crate) struct ScoreHead {
    score: Projection,
}

impl ScoreHead {
    pub(crate) fn new(weight: Vec<f32>, width: usize, device: &Device) -> Self {
        let weights = ProjectionWeights { weight, bias: None, outputs: 1, inputs: width };
        Self { score: Projection::dense(weights, Precision::F32, device) }
    }

    pub(crate) fn build(width: usize, builder: &mut Builder<'_>) -> Result<Self, ModelError> {
        Ok(Self { score: builder.dense("score", Shape { inputs: width, outputs: 1, bias: false, std: 0.02 })? })
    }

    /// `x[n, e]` to `[n]`.
    pub(crate) fn forward(&self, x_ne: Tensor<2>) -> Tensor<1> {
        self.score.forward(x_ne).flatten(0, 1)
    }
}

/// Whether a `config.json` is that of a decoder with a score.
pub(crate) fn is_scored(config: &Value, kind: Kind) -> bool {
    let scores = config["architectures"][0].as_str().is_some_and(|class| class.ends_with(CLASS));
    scores && kind == Kind::Decoder && labels_of(config).len() == 1
}

/// The class of the model of `config` with a score.
pub(crate) fn scored_class(config: &Value) -> String {
    format!("{}{CLASS}", stem(config))
}
