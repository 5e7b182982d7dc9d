//! Every fused operation against its composed form, forward and backward.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use inkstone_nn::ops::{self, Attention, Bias, Mask, RopeAngles, composed};
use inkstone_nn::{Gelu, Precision, training_device};

fn numbers(seed: u64, n: usize) -> Vec<f32> {
    let number = |i: u64| {
        let mut z = (seed << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..n as u64).map(number).collect()
}

fn leaf<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(numbers(seed, shape.iter().product()), shape), device).require_grad()
}

fn vec_of<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data_as::<f32>().try_to_vec::<f32>().unwrap()
}

#[track_caller]
fn close(got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len());
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= 2e-5 * e.abs().max(1.0), "element {i}: fused {g}, composed {e}");
    }
}

/// Runs an operation of three inputs both ways; compares outputs and all gradients of `Σ y · weight`.
#[track_caller]
fn same<const A: usize, const B: usize, const C: usize, const O: usize>(
    shapes: ([usize; A], [usize; B], [usize; C]),
    fused: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
    plain: impl Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>,
) {
    let device = training_device();
    let run = |f: &dyn Fn(Tensor<A>, Tensor<B>, Tensor<C>) -> Tensor<O>| {
        let (a, b, c) = (leaf(1, shapes.0, &device), leaf(2, shapes.1, &device), leaf(3, shapes.2, &device));
        let y = f(a.clone(), b.clone(), c.clone());
        let weight = Tensor::from_data(TensorData::new(numbers(4, y.shape().num_elements()), y.dims()), &device);
        let mut grads = (y.clone() * weight).sum().backward();
        let gradients = [
            a.grad_remove(&mut grads).map(vec_of),
            b.grad_remove(&mut grads).map(vec_of),
            c.grad_remove(&mut grads).map(vec_of),
        ];
        (vec_of(y.inner()), gradients)
    };
    let ((y, gradients), (expected_y, expected)) = (run(&fused), run(&plain));
    close(&y, &expected_y);
    for (got, expected) in gradients.iter().zip(&expected) {
        match (got, expected) {
            (Some(got), Some(expected)) => close(got, expected),
            (got, expected) => assert_eq!(got.is_some(), expected.is_some()),
        }
    }
}

#[test]
fn linear() {
    same(([7, 5], [3, 5], [1]), |x, w, _| ops::linear(x, w, Precision::F32), |x, w, _| composed::linear(x, w));
}

#[test]
fn linear_of_a_strided_input() {
    same(
        ([5, 7], [3, 5], [1]),
        |x, w, _| ops::linear(x.transpose(), w, Precision::F32),
        |x, w, _| composed::linear(x.transpose(), w),
    );
}

#[test]
fn embedding() {
    let ids: Arc<[u32]> = vec![3, 0, 3, 1].into();
    let again = Arc::clone(&ids);
    same(
        ([4, 6], [1], [1]),
        move |t, _, _| ops::embedding(t, Arc::clone(&ids)),
        move |t, _, _| composed::embedding(t, &again),
    );
}

#[test]
fn add() {
    same(([5, 8], [5, 8], [1]), |x, y, _| ops::add(x.clone(), ops::add(x, y)), |x, y, _| x.clone() + (x + y));
}

#[test]
fn rms_norm() {
    same(([5, 8], [8], [1]), |x, w, _| ops::rms_norm(x, w, 1e-3), |x, w, _| composed::rms_norm(x, w, 1e-3));
}

#[test]
fn swiglu() {
    same(([5, 8], [5, 8], [1]), |g, u, _| ops::swiglu(g, u), |g, u, _| composed::swiglu(g, u));
}

#[test]
fn rope() {
    let angles = RopeAngles::new(3, 4, 6, 10_000.0);
    let again = angles.clone();
    same(([2, 4, 3, 6], [1], [1]), move |x, _, _| ops::rope(x, &angles), move |x, _, _| composed::rope(x, &again));
}

#[test]
fn attention() {
    let how = Attention::causal(vec![0, 0, 2, 2, 2, 0, 1, 1, 1, 4].into(), 0.4);
    let shapes = ([2, 5, 4, 6], [2, 5, 2, 6], [2, 5, 2, 6]);
    same(shapes, |q, k, v| ops::attention(q, k, v, &how), |q, k, v| composed::attention(q, k, v, &how));
}

/// What attention is by its definition: for each query and head, the weighted mean of the values it sees.
fn attention_by_definition(
    q: &[f32],
    k: &[f32],
    v: &[f32],
    sees: &dyn Fn(usize, usize, usize) -> Option<f32>,
) -> Vec<f32> {
    let (t, s, h, d) = (3, 5, 2, 4);
    let row = |x: &[f32], i: usize, head: usize| x[(i * h + head) * d..][..d].to_vec();
    let mut out = Vec::new();
    for i in 0..t {
        for head in 0..h {
            let dot = |j| row(q, i, head).iter().zip(row(k, j, head)).map(|(a, b)| a * b).sum::<f32>() * 0.4;
            let weights: Vec<f32> =
                (0..s).map(|j| sees(head, i, j).map_or(0.0, |bias| (dot(j) + bias).exp())).collect();
            let total: f32 = weights.iter().sum();
            out.extend((0..d).map(|e| (0..s).map(|j| weights[j] / total * row(v, j, head)[e]).sum::<f32>()));
        }
    }
    out
}

/// What is added to the score of head, query and key, where the query sees the key.
type Sees<'a> = &'a dyn Fn(usize, usize, usize) -> Option<f32>;

#[test]
fn masks_and_biases_are_what_they_say() {
    let device = inkstone_nn::device();
    let (q, k, v) = (numbers(1, 24), numbers(2, 40), numbers(3, 40));
    let tensor = |x: &[f32], n: usize| Tensor::<4>::from_data(TensorData::new(x.to_vec(), [1, n, 2, 4]), &device);
    let added = numbers(4, 2 * 3 * 5);
    let bias = Tensor::from_data(TensorData::new(added.clone(), [1, 2, 3, 5]), &device);
    let slopes = [0.5, 0.25];
    let alibi = |head: usize, i: usize, j: usize| slopes[head] * (j as f32 - (i + 2) as f32);
    let cases: [(Mask, Bias, [u32; 3], Sees<'_>); 4] = [
        (Mask::Full, Bias::None, [0, 0, 1], &|_, i, j| (i < 2 || j >= 1).then_some(0.0)),
        (Mask::Until(vec![2, 5, 3].into()), Bias::None, [0; 3], &|_, i, j| (j < [2, 5, 3][i]).then_some(0.0)),
        (Mask::Causal, Bias::Alibi(slopes.into()), [0; 3], &|head, i, j| (j <= i + 2).then(|| alibi(head, i, j))),
        (Mask::Causal, Bias::Additive(bias), [1; 3], &|head, i, j| {
            (j >= 1 && j <= i + 2).then(|| added[(head * 3 + i) * 5 + j])
        }),
    ];
    for (mask, bias, starts, sees) in cases {
        let how = Attention { scale: 0.4, starts: starts.into(), mask, bias, precision: Precision::F32 };
        let expected = attention_by_definition(&q, &k, &v, sees);
        close(&vec_of(ops::attention(tensor(&q, 3), tensor(&k, 5), tensor(&v, 5), &how)), &expected);
        close(&vec_of(ops::attention_over(tensor(&q, 3), (&k, &v), 2, &how)), &expected);
    }
}

#[test]
fn layer_norm() {
    let (fused, plain) = (ops::layer_norm, composed::layer_norm);
    same(([5, 8], [8], [8]), |x, w, b| fused(x, (w, b), 1e-3), |x, w, b| plain(x, (w, b), 1e-3));
}

#[test]
fn gelu() {
    for form in [Gelu::Exact, Gelu::Tanh] {
        same(([5, 8], [1], [1]), |x, _, _| ops::gelu(x * 3.0, form), |x, _, _| composed::gelu(x * 3.0, form));
    }
}

#[test]
fn conv1d() {
    same(([7, 5], [5, 3], [1]), |x, w, _| ops::conv1d(x, w, Precision::F32), |x, w, _| composed::conv1d(x, w));
}

#[test]
fn add_bias() {
    same(([7, 5], [5], [1]), |x, b, _| ops::add_bias(x, b), |x, b, _| composed::add_bias(x, b));
}

#[test]
fn cross_entropy() {
    let labels: Arc<[i32]> = vec![2, -100, 0, 4].into();
    let again = Arc::clone(&labels);
    same(
        ([4, 5], [1], [1]),
        move |x, _, _| ops::cross_entropy(x, Arc::clone(&labels)).mean,
        move |x, _, _| composed::cross_entropy(x, &again, 3).mean,
    );
}

#[test]
fn cross_entropy_without_labels_is_zero_and_moves_nothing() {
    let x = leaf(1, [2, 3], &training_device());
    let loss = ops::cross_entropy(x.clone(), vec![-1, -1].into());
    let mut grads = loss.mean.backward();
    assert_eq!(vec_of(loss.mean.inner()), [0.0]);
    assert!(vec_of(x.grad_remove(&mut grads).unwrap()).iter().all(|&g| g == 0.0));
}
