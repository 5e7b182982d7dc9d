//! Layers with weights.

use std::sync::{Arc, OnceLock};

use burn::module::{Module, Param, ParamId};
use burn::tensor::{Device, Shape, Tensor, TensorData};
use inkstone_kernels::Precision;
use inkstone_kernels::quantised::{BlockFormat, Packed, dequantise};

use crate::boxed::Boxed;
use crate::ops;
use crate::projection::Bits;

/// A row of a table by id.
#[derive(Module, Debug)]
pub enum Embedding {
    /// A table of numbers.
    Dense(Table),
    /// A frozen table in blocks of few bits.
    Quantised(QuantisedTable),
    /// Any of these with further rows, for ids behind its own.
    Extended(Boxed<Extended>),
}

/// An embedding whose ids go on: those behind its own have rows that are learnt (prompt tuning, arXiv:2104.08691).
#[derive(Module, Debug)]
pub struct Extended {
    table: Embedding,
    prompt: Prompt,
    /// The first id that is not the table's.
    #[module(skip)]
    first: usize,
}

/// Rows under the name that PEFT gives them.
#[derive(Module, Debug)]
struct Prompt {
    /// `[ids, width]`.
    prompt_embeddings: Param<Tensor<2>>,
}

impl Extended {
    /// `[n, width]`. Both tables are asked for every id; of each the right row counts.
    fn forward(&self, ids: &[u32]) -> Tensor<2> {
        let first = self.first as u32;
        let own = ids.iter().map(|&id| if id < first { id } else { 0 }).collect();
        let rows = self.table.forward(own);
        if ids.iter().all(|&id| id < first) {
            return rows;
        }
        let further = ids.iter().map(|&id| id.saturating_sub(first)).collect();
        let further = ops::embedding(self.prompt.prompt_embeddings.val(), further);
        let mask: Vec<f32> = ids.iter().map(|&id| if id < first { 0.0 } else { 1.0 }).collect();
        let mask = Tensor::<2>::from_data(TensorData::new(mask, [ids.len(), 1]), &rows.device());
        rows * (mask.clone().neg() + 1.0) + further * mask
    }
}

/// The numbers of an embedding.
#[derive(Module, Debug)]
pub struct Table {
    /// `[ids, width]`.
    weight: Param<Tensor<2>>,
    #[module(skip)]
    precision: Bits,
}

/// The blocks of an embedding that is not trained.
#[derive(Module, Debug)]
pub struct QuantisedTable {
    #[module(skip)]
    blocks: Arc<Blocks>,
}

/// A weight in blocks, row after row.
#[derive(Debug)]
pub struct Blocks {
    /// Their layout.
    pub format: BlockFormat,
    /// Their bytes.
    pub bytes: Vec<u8>,
    /// Rows and columns.
    pub shape: [usize; 2],
    packed: OnceLock<Packed>,
}

impl Blocks {
    /// The blocks of a weight of `shape`.
    pub fn new(format: BlockFormat, bytes: Vec<u8>, shape: [usize; 2]) -> Self {
        Self { format, bytes, shape, packed: OnceLock::new() }
    }

    /// The numbers of one row.
    fn row(&self, row: usize, values: &mut [f32]) {
        let row_bytes = self.bytes.len() / self.shape[0].max(1);
        dequantise(self.format, &self.bytes[row * row_bytes..][..row_bytes], values);
    }

    /// Laid out for products; done once.
    fn packed(&self) -> &Packed {
        self.packed.get_or_init(|| Packed::new(self.format, &self.bytes, self.shape))
    }
}

impl Embedding {
    /// An embedding with the given table, `[ids, width]`; `precision` is that of [`Self::project`].
    pub fn new(table: Vec<f32>, [ids, width]: [usize; 2], precision: Precision, device: &Device) -> Self {
        Self::Dense(Table { weight: parameter(table, [ids, width], device), precision: Bits(precision) })
    }

    /// An embedding with a table in blocks.
    pub fn quantised(blocks: Blocks) -> Self {
        Self::Quantised(QuantisedTable { blocks: Arc::new(blocks) })
    }

    /// This embedding of `ids` ids with `further` rows of `width` numbers for the ids behind them.
    #[must_use]
    pub fn extended(self, ids: usize, further: Vec<f32>, width: usize, device: &Device) -> Self {
        let rows = further.len() / width.max(1);
        let prompt = Prompt { prompt_embeddings: parameter(further, [rows, width], device) };
        Self::Extended(Boxed::new(Extended { table: self, prompt, first: ids }))
    }

    /// The rows of `ids[n]`, `[n, width]`.
    pub fn forward(&self, ids: Arc<[u32]>) -> Tensor<2> {
        match self {
            Self::Dense(table) => ops::embedding(table.weight.val(), ids),
            Self::Extended(extended) => extended.forward(&ids),
            Self::Quantised(table) => {
                let width = table.blocks.shape[1];
                let mut rows = vec![0.0; ids.len() * width];
                let each = ids.iter().zip(rows.chunks_exact_mut(width.max(1)));
                each.for_each(|(&id, row)| table.blocks.row(id as usize, row));
                Tensor::from_data(TensorData::new(rows, [ids.len(), width]), &crate::device())
            }
        }
    }

    /// The table `[ids, width]` of a head that shares it, and the precision of products with it; `None` in blocks.
    pub fn plain(&self) -> Option<(Tensor<2>, Precision)> {
        match self {
            Self::Dense(table) => Some((table.weight.val(), table.precision.0)),
            Self::Extended(extended) => extended.table.plain(),
            Self::Quantised(_) => None,
        }
    }

    /// The product with the table, for a head that shares it: `x[n, width]` to `[n, ids]`.
    pub fn project(&self, x: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Dense(table) => ops::linear(x, table.weight.val(), table.precision.0),
            Self::Extended(extended) => extended.table.project(x),
            Self::Quantised(table) => ops::quantised_linear(x, table.blocks.packed()),
        }
    }
}

/// RMSNorm (arXiv:1910.07467).
#[derive(Module, Debug)]
pub struct RmsNorm {
    /// `[width]`.
    weight: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl RmsNorm {
    /// A norm with the given weight `[width]`; `eps` is added to the mean square.
    pub fn new(weight: Vec<f32>, width: usize, eps: f64, device: &Device) -> Self {
        Self { weight: parameter(weight, [width], device), eps }
    }

    /// `x[n, width]`, each row divided by its root mean square.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.forward_to(x, Precision::F32)
    }

    /// [`Self::forward`], kept in `output`.
    pub fn forward_to(&self, x: Tensor<2>, output: Precision) -> Tensor<2> {
        ops::rms_norm_to(x, self.weight.val(), self.eps as f32, output)
    }
}

/// Layer normalisation (arXiv:1607.06450).
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// `[width]`.
    weight: Param<Tensor<1>>,
    /// `[width]`.
    bias: Param<Tensor<1>>,
    #[module(skip)]
    eps: f64,
}

impl LayerNorm {
    /// A norm with the given weight and bias `[width]`; `eps` is added to the variance.
    pub fn new((weight, bias): (Vec<f32>, Vec<f32>), width: usize, eps: f64, device: &Device) -> Self {
        Self { weight: parameter(weight, [width], device), bias: parameter(bias, [width], device), eps }
    }

    /// `x[n, width]`, each row with mean 0 and variance 1 before weight and bias.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        self.forward_to(x, Precision::F32)
    }

    /// [`Self::forward`], kept in `output`.
    pub fn forward_to(&self, x: Tensor<2>, output: Precision) -> Tensor<2> {
        ops::layer_norm_to(x, (self.weight.val(), self.bias.val()), self.eps as f32, output)
    }
}

/// A parameter of `values`; without any, of its shape alone, which can be counted but not used.
pub fn parameter<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Param<Tensor<D>> {
    if values.is_empty() {
        let zeros = move |device: &Device, _| Tensor::zeros(shape, device);
        return Param::uninitialized(ParamId::new(), zeros, device.clone(), false, Shape::from(shape));
    }
    Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), device))
}
