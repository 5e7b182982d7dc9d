//! The operations in terms of the tensor library's own, for any device: the plain version of the
//! fused ones, with a backward that the library derives.

use burn::tensor::activation::{log_softmax, sigmoid, softmax};
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use inkstone_kernels::Gelu;

use super::{Attention, Bias, CrossEntropy, Mask, RopeAngles};

/// See [`super::linear`].
pub fn linear(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    x.matmul(w.transpose())
}

/// See [`super::conv1d`].
pub fn conv1d(x: Tensor<2>, w: Tensor<2>) -> Tensor<2> {
    x.matmul(w)
}

/// See [`super::add_bias`].
pub fn add_bias(x: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    x + bias.unsqueeze()
}

/// See [`super::layer_norm`].
pub fn layer_norm(x: Tensor<2>, (weight, bias): (Tensor<1>, Tensor<1>), eps: f32) -> Tensor<2> {
    let centred = x.clone() - x.mean_dim(1);
    let variance = (centred.clone() * centred.clone()).mean_dim(1);
    centred / (variance + eps).sqrt() * weight.unsqueeze() + bias.unsqueeze()
}

/// See [`super::gelu`].
pub fn gelu(x: Tensor<2>, form: Gelu) -> Tensor<2> {
    let gate = match form {
        Gelu::Exact => (x.clone() / std::f32::consts::SQRT_2).erf(),
        Gelu::Tanh => {
            let cube = x.clone() * x.clone() * x.clone();
            ((x.clone() + cube * 0.044_715) * (2.0 / std::f32::consts::PI).sqrt()).tanh()
        }
    };
    x * (gate + 1.0) * 0.5
}

/// See [`super::embedding`].
pub fn embedding(table: Tensor<2>, ids: &[u32]) -> Tensor<2> {
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let device = table.device();
    table.select(0, integers(ids, &device))
}

/// See [`super::rms_norm`].
pub fn rms_norm(x: Tensor<2>, weight: Tensor<1>, eps: f32) -> Tensor<2> {
    let mean_square = (x.clone() * x.clone()).mean_dim(1);
    x / (mean_square + eps).sqrt() * weight.unsqueeze()
}

/// See [`super::swiglu`].
pub fn swiglu(gate: Tensor<2>, up: Tensor<2>) -> Tensor<2> {
    gate.clone() * sigmoid(gate) * up
}

/// See [`super::rope`].
pub fn rope(x: Tensor<4>, angles: &RopeAngles) -> Tensor<4> {
    let [b, t, h, d] = x.dims();
    let half = d / 2;
    let table = |values: &[f32]| Tensor::<4>::from_data(TensorData::new(values.to_vec(), [1, t, 1, half]), &x.device());
    let (cos, sin) = (table(&angles.cos), table(&angles.sin));
    let first = x.clone().slice([0..b, 0..t, 0..h, 0..half]);
    let second = x.slice([0..b, 0..t, 0..h, half..d]);
    let turned = first.clone() * cos.clone() - second.clone() * sin.clone();
    Tensor::cat(vec![turned, second * cos + first * sin], 3)
}

/// See [`super::attention`].
pub fn attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>, how: &Attention) -> Tensor<4> {
    let [b, t, h, d] = q.dims();
    let [_, s, g, _] = k.dims();
    let hidden = hidden_keys(how, [b, t, s], &q);
    let heads = |x: Tensor<4>| {
        // (b, s, g, d) → (b, h, s, d), each key head repeated for its group.
        let x: Tensor<5> = x.swap_dims(1, 2).unsqueeze_dim(2);
        x.expand([b, g, h / g, s, d]).reshape([b, h, s, d])
    };
    let scores = q.swap_dims(1, 2).matmul(heads(k).transpose()) * how.scale;
    let scores = match &how.bias {
        Bias::None => scores,
        Bias::Alibi(slopes) => {
            let bias = alibi(slopes, (t, s), &scores.device());
            scores + bias
        }
        Bias::Additive(bias) => scores + bias.clone(),
    };
    let scores = scores.mask_fill(hidden.unsqueeze_dim::<4>(1).expand([b, h, t, s]), f32::NEG_INFINITY);
    softmax(scores, 3).matmul(heads(v)).swap_dims(1, 2)
}

/// `slopes[h] · (key − query)`, `[1, h, t, s]`.
fn alibi(slopes: &[f32], (t, s): (usize, usize), device: &Device) -> Tensor<4> {
    let distance = |n: usize| (n % s) as f32 - (s - t + n / s % t) as f32;
    let values: Vec<f32> = (0..slopes.len() * t * s).map(|n| slopes[n / (t * s)] * distance(n)).collect();
    Tensor::from_data(TensorData::new(values, [1, slopes.len(), t, s]), device)
}

fn hidden_keys(how: &Attention, [b, t, s]: [usize; 3], like: &Tensor<4>) -> Tensor<3, Bool> {
    let end = |row: usize| match &how.mask {
        Mask::Causal => s - t + row % t + 1,
        Mask::Full => s,
        Mask::Until(ends) => ends[row] as usize,
    };
    let hidden = |n: usize| n % s < how.starts[n / s] as usize || n % s >= end(n / s);
    let values: Vec<bool> = (0..b * t * s).map(hidden).collect();
    Tensor::from_data(TensorData::new(values, [b, t, s]), &like.device())
}

/// See [`super::cross_entropy`].
pub fn cross_entropy(logits: Tensor<2>, labels: &[i32], counted: usize) -> CrossEntropy {
    let losses = token_losses(logits, labels);
    let each = losses.clone().into_data_as::<f32>().try_to_vec::<f32>().expect("invariant: converted to f32");
    CrossEntropy { mean: losses.sum() / counted.max(1) as f32, losses: each, counted }
}

/// See [`super::token_losses`].
pub fn token_losses(logits: Tensor<2>, labels: &[i32]) -> Tensor<1> {
    let device = logits.device();
    let chosen: Vec<i32> = labels.iter().map(|&label| label.max(0)).collect();
    let weights: Vec<f32> = labels.iter().map(|&label| if label < 0 { 0.0 } else { 1.0 }).collect();
    let n = labels.len();
    let weights = Tensor::<1>::from_data(TensorData::new(weights, [n]), &device);
    let picked = log_softmax(logits, 1).gather(1, integers(chosen, &device).unsqueeze_dim(1)).squeeze_dim::<1>(1);
    picked.neg() * weights
}

fn integers(values: Vec<i32>, device: &Device) -> Tensor<1, Int> {
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
