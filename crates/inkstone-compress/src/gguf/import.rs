//! A file as a source of weights.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;

use inkstone_formats::gguf::{GgmlType, GgufFile, GgufTensor};
use inkstone_kernels::quantised::dequantise;
use inkstone_models::{Dimensions, Layout, Model, ModelError, Shared, Wanted, WantedLayer, Weights};
use inkstone_nn::{BlockFormat, Blocks, Device, Embedding, Packed, Precision, Projection};
use inkstone_tokenizer::Tokenizer;
use serde_json::Value;

use super::names::{Names, Order, Part, Share};
use super::{settings, tokenizer};
use crate::CompressError;

/// An open GGUF file of an architecture that is known.
#[derive(Debug)]
pub struct GgufModel {
    file: GgufFile,
    names: &'static Names,
    config: Value,
}

impl GgufModel {
    /// Opens `path` and reads its settings.
    pub fn open(path: &Path) -> Result<Self, CompressError> {
        let file = GgufFile::open(path)?;
        let names = settings::names_of(&file)?;
        let config = settings::config_of(&file, names)?;
        Ok(Self { file, names, config })
    }

    /// The file.
    pub fn file(&self) -> &GgufFile {
        &self.file
    }

    /// The `config.json` that the file's settings mean.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// The tokenizer, with its chat template.
    pub fn tokenizer(&self) -> Result<Tokenizer, CompressError> {
        tokenizer::tokenizer_of(&self.file)
    }

    /// The model; what the file has in blocks stays so.
    pub fn load(&self, device: &Device) -> Result<Model, CompressError> {
        self.build(false, |weights| Model::build(&self.config, weights, Precision::F32, device))
    }

    /// [`Self::load`]; the weights are kept in `shared`, for further models.
    pub fn load_shared(&self, shared: &mut Shared, device: &Device) -> Result<Model, CompressError> {
        self.build(false, |weights| Model::build(&self.config, &mut shared.recording(weights), Precision::F32, device))
    }

    /// The model with all its weights in single precision.
    pub fn load_dense(&self, device: &Device) -> Result<Model, CompressError> {
        self.build(true, |weights| Model::build(&self.config, weights, Precision::F32, device))
    }

    fn build(
        &self,
        dense: bool,
        make: impl FnOnce(&mut dyn Weights) -> Result<Model, ModelError>,
    ) -> Result<Model, CompressError> {
        let mut weights = GgufWeights {
            file: &self.file,
            names: self.names,
            sizes: inkstone_models::dimensions(&self.config)?,
            dense,
            unread: self.file.names().map(str::to_owned).collect(),
            missing: Vec::new(),
        };
        let model = make(&mut weights)?;
        weights.finish()?;
        Ok(model)
    }
}

/// The tensors of a file under a folder's names.
struct GgufWeights<'a> {
    file: &'a GgufFile,
    names: &'static Names,
    sizes: Dimensions,
    dense: bool,
    unread: BTreeSet<String>,
    missing: Vec<String>,
}

/// Parts of a tensor that are all there, in the order of its rows.
type Found<'a> = Vec<(Part, GgufTensor<'a>)>;

impl<'a> GgufWeights<'a> {
    fn finish(mut self) -> Result<(), ModelError> {
        // What an older converter wrote of the rotary frequencies follows from their base; their factors are in the settings.
        self.unread.retain(|name| !name.ends_with("attn_rot_embd.weight") && name != settings::FACTORS);
        if self.missing.is_empty() && self.unread.is_empty() {
            return Ok(());
        }
        let unexpected = self.unread.into_iter().collect();
        Err(ModelError::Names { path: self.file.path().to_owned(), missing: self.missing, unexpected })
    }

    /// The parts of `name`, if all are there and make up `shape` (`[rows, columns]` as the file sees it); else it is missing.
    fn find(&mut self, name: &str, shape: &[usize]) -> Result<Option<Found<'a>>, ModelError> {
        let parts = self.names.parts(name, &self.sizes);
        if parts.is_empty() || !parts.iter().all(|part| self.file.contains(&part.name)) {
            self.missing.push(name.to_owned());
            return Ok(None);
        }
        let mut found = Vec::new();
        for part in parts {
            let tensor = self.file.tensor(&part.name)?;
            let mut expected = shape.to_vec();
            if part.share == Share::Third {
                expected[0] /= 3;
            }
            if tensor.shape != expected || !part.order.fits(expected[0]) {
                let (path, got) = (self.file.path().to_owned(), tensor.shape.to_vec());
                return Err(ModelError::Shape { path, tensor: part.name, got, expected });
            }
            self.unread.remove(&part.name);
            found.push((part, tensor));
        }
        Ok(Some(found))
    }

    /// The numbers, in the order of the folder's rows.
    fn numbers(&self, found: &Found<'_>) -> Result<Vec<f32>, ModelError> {
        let mut all = Vec::new();
        for (part, tensor) in found {
            let values = self.values(&part.name, tensor)?;
            let rows = tensor.shape[0];
            let width = values.len() / rows.max(1);
            part.order.rows(rows).into_iter().for_each(|row| all.extend_from_slice(&values[row * width..][..width]));
        }
        Ok(all)
    }

    fn values(&self, name: &str, tensor: &GgufTensor<'_>) -> Result<Vec<f32>, ModelError> {
        if let Some(values) = tensor.plain() {
            return Ok(values);
        }
        let Some(format) = BlockFormat::from_name(tensor.kind.name) else {
            return Err(self.misfit(name, tensor.kind));
        };
        let mut values = vec![0.0; tensor.shape.iter().product()];
        dequantise(format, tensor.bytes, &mut values);
        Ok(values)
    }

    fn misfit(&self, name: &str, kind: GgmlType) -> ModelError {
        ModelError::Format(inkstone_formats::FormatError::Tensor {
            path: self.file.path().to_owned(),
            tensor: name.to_owned(),
            expected: "numbers of floating point, or blocks".into(),
            got: kind.name.into(),
        })
    }

    /// The bytes in the order of the folder's rows, where all parts are of one type.
    fn bytes<'f>(&self, found: &Found<'f>) -> Option<(GgmlType, Cow<'f, [u8]>)> {
        let kind = found.first()?.1.kind;
        if self.dense || found.iter().any(|(_, tensor)| tensor.kind != kind) {
            return None;
        }
        if let [(Part { order: Order::Same, .. }, tensor)] = &found[..] {
            return Some((kind, tensor.bytes.into()));
        }
        let mut bytes = Vec::with_capacity(found.iter().map(|(_, tensor)| tensor.bytes.len()).sum());
        for (part, tensor) in found {
            let rows = tensor.shape[0];
            let width = tensor.bytes.len() / rows.max(1);
            part.order
                .rows(rows)
                .into_iter()
                .for_each(|row| bytes.extend_from_slice(&tensor.bytes[row * width..][..width]));
        }
        Some((kind, bytes.into()))
    }

    /// The weight laid out for products, where it is in blocks or in bfloat16.
    fn packed(&self, found: &Found<'_>, shape: [usize; 2]) -> Option<Packed> {
        let (kind, bytes) = self.bytes(found)?;
        match BlockFormat::from_name(kind.name) {
            Some(format) => Some(Packed::new(format, &bytes, shape)),
            None if kind == GgmlType::BF16 => Packed::bf16(&bytes, shape),
            None => None,
        }
    }
}

impl Weights for GgufWeights<'_> {
    fn tensor(&mut self, wanted: &Wanted<'_>) -> Result<Vec<f32>, ModelError> {
        let Wanted { name, shape, .. } = *wanted;
        if let (true, [inputs, outputs]) = (self.names.is_transposed(name), shape) {
            let Some(found) = self.find(name, &[*outputs, *inputs])? else { return Ok(Vec::new()) };
            let values = self.numbers(&found)?;
            return Ok(transposed(&values, [*outputs, *inputs]));
        }
        match self.find(name, shape)? {
            Some(found) => self.numbers(&found),
            None => Ok(Vec::new()),
        }
    }

    fn projection(&mut self, wanted: &WantedLayer<'_>) -> Result<Projection, ModelError> {
        let &WantedLayer { inputs, outputs, device, precision, layout, .. } = wanted;
        let (weight_name, bias_name) = (format!("{}.weight", wanted.name), format!("{}.bias", wanted.name));
        let Some(found) = self.find(&weight_name, &[outputs, inputs])? else {
            return Ok(Projection::dense(empty(inputs, outputs), precision, device));
        };
        let bias_wanted =
            Wanted { name: &bias_name, shape: &[outputs], init: inkstone_models::Init::Zeros, product: false };
        let bias = if wanted.bias { Some(self.tensor(&bias_wanted)?) } else { None };
        if let Some(packed) = self.packed(&found, [outputs, inputs]) {
            return Ok(Projection::quantised(packed, bias, device));
        }
        let values = self.numbers(&found)?;
        let weights = |weight| inkstone_nn::ProjectionWeights { weight, bias, outputs, inputs };
        Ok(match layout {
            Layout::Dense => Projection::dense(weights(values), precision, device),
            Layout::Conv1d => Projection::conv1d(weights(transposed(&values, [outputs, inputs])), precision, device),
        })
    }

    fn embedding(&mut self, wanted: &WantedLayer<'_>) -> Result<Embedding, ModelError> {
        let (name, shape) = (format!("{}.weight", wanted.name), [wanted.inputs, wanted.outputs]);
        let Some(found) = self.find(&name, &shape)? else {
            return Ok(Embedding::new(Vec::new(), shape, wanted.precision, wanted.device));
        };
        let blocks = self.bytes(&found).and_then(|(kind, bytes)| Some((BlockFormat::from_name(kind.name)?, bytes)));
        match blocks {
            Some((format, bytes)) => Ok(Embedding::quantised(Blocks::new(format, bytes.into_owned(), shape))),
            None => Ok(Embedding::new(self.numbers(&found)?, shape, wanted.precision, wanted.device)),
        }
    }
}

fn empty(inputs: usize, outputs: usize) -> inkstone_nn::ProjectionWeights {
    inkstone_nn::ProjectionWeights { weight: Vec::new(), bias: None, outputs, inputs }
}

/// `[rows, columns]` to `[columns, rows]`.
pub(super) fn transposed(values: &[f32], [rows, columns]: [usize; 2]) -> Vec<f32> {
    (0..rows * columns).map(|n| values[n % rows * columns + n / rows]).collect()
}
