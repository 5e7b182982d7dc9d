//! How a model file makes its layers: each by its name below where the builder stands.

use std::fmt::Display;

use burn::module::Param;
use burn::tensor::{Device, Tensor};
use inkstone_nn::{Embedding, LayerNorm, Precision, Projection, RmsNorm};

use crate::ModelError;
use crate::weights::{Init, Layout, Wanted, WantedLayer, Weights};

/// Makes layers over weights from wherever.
pub(crate) struct Builder<'a> {
    weights: &'a mut dyn Weights,
    precision: Precision,
    device: &'a Device,
    path: String,
}

/// A projection that is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Width of the input.
    pub(crate) inputs: usize,
    /// Width of the output.
    pub(crate) outputs: usize,
    /// Whether it has a bias.
    pub(crate) bias: bool,
    /// Standard deviation of the initial weight.
    pub(crate) std: f64,
}

impl Shape {
    fn named<'a>(self, name: &'a str, layout: Layout, precision: Precision, device: &'a Device) -> WantedLayer<'a> {
        let Self { inputs, outputs, bias, std } = self;
        WantedLayer { name, layout, inputs, outputs, bias, std, precision, device }
    }
}

impl<'a> Builder<'a> {
    pub(crate) fn new(weights: &'a mut dyn Weights, precision: Precision, device: &'a Device) -> Self {
        Self { weights, precision, device, path: String::new() }
    }

    /// A builder below `name`.
    pub(crate) fn at(&mut self, name: impl Display) -> Builder<'_> {
        let path = self.name(name);
        Builder { weights: &mut *self.weights, precision: self.precision, device: self.device, path }
    }

    /// `n` parts called `name.0`, `name.1`, ….
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        n: usize,
        mut part: impl FnMut(usize, &mut Builder<'_>) -> Result<T, ModelError>,
    ) -> Result<Vec<T>, ModelError> {
        (0..n).map(|index| part(index, &mut self.at(format_args!("{name}.{index}")))).collect()
    }

    /// A folder may leave `prefix` out of its names, as those of the bare model do.
    pub(crate) fn optional_prefix(&mut self, prefix: &'static str) {
        self.weights.optional_prefix(prefix);
    }

    /// A folder may hold tensors whose names end so; they are not read.
    pub(crate) fn ignore(&mut self, suffixes: &[&'static str]) {
        self.weights.ignore(suffixes);
    }

    /// The head is the table of an embedding, of the given shape; some programs store it under `name` all the same.
    pub(crate) fn tied_head(&mut self, name: &'static str, shape: [usize; 2]) {
        self.weights.ignore(&[name]);
        self.weights.shared(shape);
    }

    /// `[ids, width]`.
    pub(crate) fn embedding(
        &mut self,
        name: &str,
        [ids, width]: [usize; 2],
        std: f64,
    ) -> Result<Embedding, ModelError> {
        let name = self.name(name);
        let shape = Shape { inputs: ids, outputs: width, bias: false, std };
        self.weights.embedding(&shape.named(&name, Layout::Dense, self.precision, self.device))
    }

    /// A projection with the weight `[outputs, inputs]`.
    pub(crate) fn dense(&mut self, name: &str, shape: Shape) -> Result<Projection, ModelError> {
        let name = self.name(name);
        self.weights.projection(&shape.named(&name, Layout::Dense, self.precision, self.device))
    }

    /// A projection with the weight `[inputs, outputs]`.
    pub(crate) fn conv1d(&mut self, name: &str, shape: Shape) -> Result<Projection, ModelError> {
        let name = self.name(name);
        self.weights.projection(&shape.named(&name, Layout::Conv1d, self.precision, self.device))
    }

    /// An RMSNorm.
    pub(crate) fn rms_norm(&mut self, name: &str, width: usize, eps: f64) -> Result<RmsNorm, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"), &[width], Init::Ones)?;
        Ok(RmsNorm::new(weight, width, eps, self.device))
    }

    /// A layer normalisation.
    pub(crate) fn layer_norm(&mut self, name: &str, width: usize, eps: f64) -> Result<LayerNorm, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"), &[width], Init::Ones)?;
        let bias = self.tensor(&format!("{name}.bias"), &[width], Init::Zeros)?;
        Ok(LayerNorm::new((weight, bias), width, eps, self.device))
    }

    /// A vector that begins as zeros.
    pub(crate) fn zeros(&mut self, name: &str, width: usize) -> Result<Param<Tensor<1>>, ModelError> {
        let values = self.tensor(name, &[width], Init::Zeros)?;
        Ok(inkstone_nn::parameter(values, [width], self.device))
    }

    /// A table of a name of its own, without `.weight`.
    pub(crate) fn table(&mut self, name: &str, shape: [usize; 2], std: f64) -> Result<Param<Tensor<2>>, ModelError> {
        let values = self.tensor(name, &shape, Init::Normal(std))?;
        Ok(inkstone_nn::parameter(values, shape, self.device))
    }

    /// A table that begins as zeros and is not trained.
    pub(crate) fn fixed(&mut self, name: &str, shape: [usize; 2]) -> Result<Param<Tensor<2>>, ModelError> {
        let values = self.tensor(name, &shape, Init::Zeros)?;
        Ok(inkstone_nn::parameter(values, shape, self.device).set_require_grad(false))
    }

    fn tensor(&mut self, name: &str, shape: &[usize], init: Init) -> Result<Vec<f32>, ModelError> {
        let name = self.name(name);
        self.weights.tensor(&Wanted { name: &name, shape, init, product: false })
    }

    fn name(&self, name: impl Display) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) }
    }
}
