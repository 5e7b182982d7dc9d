//! The operations as kernels on the CPU device: slices in, slices out.

use std::sync::{Arc, Mutex};

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Bytes, DType, Shape};
use inkstone_kernels as kernels;
use inkstone_kernels::{AttentionShape, LinearShape, Precision, RopeShape};

use super::RopeAngles;
use super::buffers::Buffer;
use super::stored::{alike, compact, contiguous, stored, typed, values};

/// The fused operations; documented at the functions of [`super`].
#[backend_extension(Flex, Autodiff)]
pub(super) trait Fused: Backend {
    fn linear(x: FloatTensor<Self>, w: FloatTensor<Self>, how: Product) -> FloatTensor<Self>;
    fn embedding(table: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self>;
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, how: (f32, Precision)) -> FloatTensor<Self>;
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;
    fn rope(x: FloatTensor<Self>, angles: RopeAngles) -> FloatTensor<Self>;
    fn attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        starts: Arc<[u32]>,
        how: (f32, Precision),
    ) -> FloatTensor<Self>;
    fn cross_entropy(logits: FloatTensor<Self>, labels: Arc<[i32]>, losses: Arc<Mutex<Vec<f32>>>) -> FloatTensor<Self>;
}

/// How a product is computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Product {
    /// Precision of the operands.
    pub(super) precision: Precision,
    /// What the result is kept in.
    pub(super) output: Precision,
}

impl Fused for Flex {
    fn linear(x: FlexTensor, w: FlexTensor, how: Product) -> FlexTensor {
        let (x, w) = (compact(x), contiguous(w));
        let shape = linear_shape(&x, &w);
        typed!(how.output, M => {
            let mut y = Buffer::<M>::new(shape.rows * shape.outputs);
            typed!(x, N => kernels::linear(&mut y, stored::<N>(&x), values(&w), shape, how.precision));
            y.into_tensor([shape.rows, shape.outputs])
        })
    }

    fn embedding(table: FlexTensor, ids: Arc<[u32]>) -> FlexTensor {
        let table = contiguous(table);
        let [_, width] = table.shape().dims();
        let mut y = Buffer::new(ids.len() * width);
        kernels::embedding(&mut y, values(&table), &ids, width);
        y.into_tensor([ids.len(), width])
    }

    fn rms_norm(x: FlexTensor, weight: FlexTensor, (eps, output): (f32, Precision)) -> FlexTensor {
        let (x, weight) = (contiguous(x), contiguous(weight));
        typed!(output, N => {
            let mut y = Buffer::<N>::new(values(&x).len());
            kernels::rms_norm(&mut y, values(&x), values(&weight), eps);
            y.into_shaped(x.shape())
        })
    }

    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let [gate, up] = alike([gate, up]);
        typed!(gate, N => {
            let mut y = Buffer::<N>::new(stored::<N>(&gate).len());
            kernels::swiglu(&mut y, stored(&gate), stored(&up));
            y.into_shaped(gate.shape())
        })
    }

    fn rope(x: FlexTensor, angles: RopeAngles) -> FlexTensor {
        rotate(x, &angles, false)
    }

    fn attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, starts: Arc<[u32]>, how: (f32, Precision)) -> FlexTensor {
        attention(&alike([q, k, v]), &starts, how).0
    }

    fn cross_entropy(logits: FlexTensor, labels: Arc<[i32]>, losses: Arc<Mutex<Vec<f32>>>) -> FlexTensor {
        cross_entropy(&contiguous(logits), &labels, &losses)
    }
}

/// `x` turned by the angles, or turned back; in its own buffer when nobody else holds it.
pub(super) fn rotate(x: FlexTensor, angles: &RopeAngles, inverse: bool) -> FlexTensor {
    let mut x = compact(x);
    let [batch, length, heads, head_dim] = x.shape().dims();
    debug_assert_eq!(angles.half * 2, head_dim);
    let shape = RopeShape { batch, length, heads, head_dim, row: heads * head_dim };
    typed!(x, N => kernels::rope(x.storage_mut::<N>(), &angles.cos, &angles.sin, shape, inverse));
    x
}

/// The output `[b, t, h, d]` of queries, keys and values in one form, and the log-sum-exp `[b, h, t]`; `how` as for [`attention_shape`].
pub(super) fn attention([q, k, v]: &[FlexTensor; 3], starts: &[u32], how: (f32, Precision)) -> (FlexTensor, Vec<f32>) {
    let shape = attention_shape(q, k, how);
    let mut lse = vec![0.0; shape.batch * shape.heads * shape.queries];
    let out = typed!(q, N => {
        let mut out = Buffer::<N>::new(stored::<N>(q).len());
        kernels::attention(&mut out, &mut lse, (stored(q), stored(k), stored(v)), starts, shape);
        out.into_shaped(q.shape())
    });
    (out, lse)
}

/// `how` is the factor on the scores and the precision of products.
pub(super) fn attention_shape(q: &FlexTensor, k: &FlexTensor, how: (f32, Precision)) -> AttentionShape {
    let (scale, precision) = how;
    let [batch, queries, heads, head_dim] = q.shape().dims();
    let [_, keys, kv_heads, _] = k.shape().dims();
    AttentionShape { batch, queries, keys, heads, kv_heads, head_dim, scale, precision }
}

pub(super) fn cross_entropy(logits: &FlexTensor, labels: &[i32], losses: &Mutex<Vec<f32>>) -> FlexTensor {
    let [rows, vocab] = logits.shape().dims();
    let mut each = vec![0.0; rows];
    kernels::cross_entropy(values(logits), labels, &mut each, vocab);
    let counted = labels.iter().filter(|&&label| label >= 0).count();
    let mean = each.iter().map(|&x| f64::from(x)).sum::<f64>() / counted.max(1) as f64;
    *losses.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = each;
    flat(vec![mean as f32])
}

pub(super) fn linear_shape(x: &FlexTensor, w: &FlexTensor) -> LinearShape {
    let ([rows, inputs], [outputs, _]) = (x.shape().dims(), w.shape().dims());
    LinearShape { rows, inputs, outputs }
}

/// A tensor of one dimension that takes the vector over.
pub(crate) fn flat(values: Vec<f32>) -> FlexTensor {
    let shape = Shape::from([values.len()]);
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}
