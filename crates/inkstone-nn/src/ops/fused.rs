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

/// The fused operations; documented at the functions of [`super`].
#[backend_extension(Flex, Autodiff)]
pub(super) trait Fused: Backend {
    fn linear(x: FloatTensor<Self>, w: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self>;
    fn embedding(table: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self>;
    fn rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, eps: f32) -> FloatTensor<Self>;
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

impl Fused for Flex {
    fn linear(x: FlexTensor, w: FlexTensor, precision: Precision) -> FlexTensor {
        let (x, w) = (contiguous(x), contiguous(w));
        let shape = linear_shape(&x, &w);
        let mut y = Buffer::new(shape.rows * shape.outputs);
        kernels::linear(&mut y, values(&x), values(&w), shape, precision);
        y.into_tensor([shape.rows, shape.outputs])
    }

    fn embedding(table: FlexTensor, ids: Arc<[u32]>) -> FlexTensor {
        let table = contiguous(table);
        let [_, width] = table.shape().dims();
        let mut y = Buffer::new(ids.len() * width);
        kernels::embedding(&mut y, values(&table), &ids, width);
        y.into_tensor([ids.len(), width])
    }

    fn rms_norm(x: FlexTensor, weight: FlexTensor, eps: f32) -> FlexTensor {
        let (x, weight) = (contiguous(x), contiguous(weight));
        let mut y = Buffer::new(values(&x).len());
        kernels::rms_norm(&mut y, values(&x), values(&weight), eps);
        y.into_tensor(x.shape().dims::<2>())
    }

    fn swiglu(gate: FlexTensor, up: FlexTensor) -> FlexTensor {
        let (gate, up) = (contiguous(gate), contiguous(up));
        let mut y = Buffer::new(values(&gate).len());
        kernels::swiglu(&mut y, values(&gate), values(&up));
        y.into_tensor(gate.shape().dims::<2>())
    }

    fn rope(x: FlexTensor, angles: RopeAngles) -> FlexTensor {
        rotate(x, &angles, false)
    }

    fn attention(q: FlexTensor, k: FlexTensor, v: FlexTensor, starts: Arc<[u32]>, how: (f32, Precision)) -> FlexTensor {
        attention(&contiguous(q), &contiguous(k), &contiguous(v), &starts, how).0
    }

    fn cross_entropy(logits: FlexTensor, labels: Arc<[i32]>, losses: Arc<Mutex<Vec<f32>>>) -> FlexTensor {
        cross_entropy(&contiguous(logits), &labels, &losses)
    }
}

/// `x` turned by the angles, or turned back; in its own buffer when nobody else holds it.
pub(super) fn rotate(x: FlexTensor, angles: &RopeAngles, inverse: bool) -> FlexTensor {
    let mut x = contiguous(x);
    let [batch, length, heads, head_dim] = x.shape().dims();
    debug_assert_eq!(angles.half * 2, head_dim);
    let shape = RopeShape { batch, length, heads, head_dim };
    kernels::rope(x.storage_mut::<f32>(), &angles.cos, &angles.sin, shape, inverse);
    x
}

/// The output `[b, t, h, d]` and the log-sum-exp `[b, h, t]`; `how` as for [`attention_shape`].
pub(super) fn attention(
    q: &FlexTensor,
    k: &FlexTensor,
    v: &FlexTensor,
    starts: &[u32],
    how: (f32, Precision),
) -> (FlexTensor, Vec<f32>) {
    let shape = attention_shape(q, k, how);
    let mut out = Buffer::new(values(q).len());
    let mut lse = vec![0.0; shape.batch * shape.heads * shape.queries];
    kernels::attention(&mut out, &mut lse, (values(q), values(k), values(v)), starts, shape);
    (out.into_tensor(q.shape().dims::<4>()), lse)
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

/// The tensor with its elements in order and nothing else in its buffer.
pub(crate) fn contiguous(x: FlexTensor) -> FlexTensor {
    let whole = x.is_contiguous() && x.layout().start_offset() == 0 && x.bytes().len() == x.shape().num_elements() * 4;
    if whole { x } else { x.to_contiguous() }
}

/// The values of a contiguous tensor of f32.
pub(super) fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice::<f32>().expect("invariant: tensors of the models are f32, and made contiguous before")
}

/// A tensor of one dimension that takes the vector over.
pub(crate) fn flat(values: Vec<f32>) -> FlexTensor {
    let shape = Shape::from([values.len()]);
    FlexTensor::new(Bytes::from_elems(values), Layout::contiguous(shape), DType::F32)
}
