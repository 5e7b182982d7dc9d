//! The plain version of every kernel, in f64 where that costs nothing: the oracle of the fast ones.

use crate::{AdamW, AttentionShape, Cell, Gelu, LinearShape, RopeShape};

/// See [`crate::linear`].
pub fn linear(x: &[f32], w: &[f32], shape: LinearShape) -> Vec<f32> {
    let LinearShape { rows, inputs, outputs } = shape;
    table(rows, outputs, |r, o| (0..inputs).map(|i| f64::from(x[r * inputs + i]) * f64::from(w[o * inputs + i])).sum())
}

/// See [`crate::linear_grad_input`].
pub fn linear_grad_input(dy: &[f32], w: &[f32], shape: LinearShape) -> Vec<f32> {
    let LinearShape { rows, inputs, outputs } = shape;
    table(rows, inputs, |r, i| {
        (0..outputs).map(|o| f64::from(dy[r * outputs + o]) * f64::from(w[o * inputs + i])).sum()
    })
}

/// See [`crate::linear_grad_weight`].
pub fn linear_grad_weight(dy: &[f32], x: &[f32], shape: LinearShape) -> Vec<f32> {
    let LinearShape { rows, inputs, outputs } = shape;
    table(outputs, inputs, |o, i| {
        (0..rows).map(|r| f64::from(dy[r * outputs + o]) * f64::from(x[r * inputs + i])).sum()
    })
}

fn table(rows: usize, columns: usize, value: impl Fn(usize, usize) -> f64) -> Vec<f32> {
    (0..rows * columns).map(|n| value(n / columns, n % columns) as f32).collect()
}

/// See [`crate::attention`]; returns the output.
pub fn attention(q: &[f32], k: &[f32], v: &[f32], starts: &[u32], shape: AttentionShape) -> Vec<f32> {
    let AttentionShape { batch, queries, heads, head_dim, .. } = shape;
    let mut out = vec![0.0; q.len()];
    for b in 0..batch {
        for t in 0..queries {
            for h in 0..heads {
                let p = probabilities((q, k), starts, shape, (b, t, h));
                let at = ((b * queries + t) * heads + h) * head_dim;
                for (s, p) in p {
                    let value = &v[key_at(shape, b, s, h)..][..head_dim];
                    out[at..at + head_dim]
                        .iter_mut()
                        .zip(value)
                        .for_each(|(out, &v)| *out = (f64::from(*out) + p * f64::from(v)) as f32);
                }
            }
        }
    }
    out
}

fn key_at(shape: AttentionShape, b: usize, s: usize, h: usize) -> usize {
    let group = shape.heads / shape.kv_heads;
    ((b * shape.keys + s) * shape.kv_heads + h / group) * shape.head_dim
}

/// The probability of each visible key.
fn probabilities(
    (q, k): (&[f32], &[f32]),
    starts: &[u32],
    shape: AttentionShape,
    (b, t, h): (usize, usize, usize),
) -> Vec<(usize, f64)> {
    let AttentionShape { queries, keys, heads, head_dim, scale, .. } = shape;
    let query = &q[((b * queries + t) * heads + h) * head_dim..][..head_dim];
    let score = |s: usize| {
        let key = &k[key_at(shape, b, s, h)..][..head_dim];
        f64::from(scale) * query.iter().zip(key).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum::<f64>()
    };
    let visible = starts[b * queries + t] as usize..=keys - queries + t;
    let scores: Vec<(usize, f64)> = visible.map(|s| (s, score(s))).collect();
    let top = scores.iter().map(|x| x.1).fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = scores.iter().map(|x| (x.1 - top).exp()).sum();
    scores.into_iter().map(|(s, x)| (s, (x - top).exp() / sum)).collect()
}

/// See [`crate::rms_norm`].
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let scale = |row: &[f32]| {
        let mean = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / row.len() as f64;
        1.0 / (mean + f64::from(eps)).sqrt()
    };
    x.chunks_exact(weight.len())
        .flat_map(|row| row.iter().zip(weight).map(move |(&x, &w)| (f64::from(x) * scale(row) * f64::from(w)) as f32))
        .collect()
}

/// See [`crate::layer_norm`].
pub fn layer_norm(x: &[f32], (weight, bias): (&[f32], &[f32]), eps: f32) -> Vec<f32> {
    let normal = |row: &[f32]| {
        let n = row.len() as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
        row.iter().map(move |&x| (f64::from(x) - mean) / (variance + f64::from(eps)).sqrt()).collect::<Vec<_>>()
    };
    let affine = |(x, (&w, &b)): (f64, (&f32, &f32))| (x * f64::from(w) + f64::from(b)) as f32;
    x.chunks_exact(weight.len())
        .flat_map(|row| normal(row).into_iter().zip(weight.iter().zip(bias)).map(affine))
        .collect()
}

/// See [`crate::gelu`]; the normal distribution by Simpson's rule.
pub fn gelu(x: &[f32], form: Gelu) -> Vec<f32> {
    let exact = |x: f64| x * (0.5 + simpson(x, |t| (-0.5 * t * t).exp()) / (2.0 * std::f64::consts::PI).sqrt());
    let tanh = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
    x.iter().map(|&x| if form == Gelu::Exact { exact(x.into()) } else { tanh(x.into()) } as f32).collect()
}

/// The integral of `f` from 0 to `x`.
fn simpson(x: f64, f: impl Fn(f64) -> f64) -> f64 {
    let (n, mut sum) = (2000, f(0.0) + f(x));
    for i in 1..n {
        sum += f(x * f64::from(i) / f64::from(n)) * if i % 2 == 1 { 4.0 } else { 2.0 };
    }
    sum * x / f64::from(3 * n)
}

/// See [`crate::rope`], forward.
pub fn rope(x: &[f32], cos: &[f32], sin: &[f32], shape: RopeShape) -> Vec<f32> {
    let half = shape.head_dim / 2;
    let value = |n: usize| {
        let (i, t) = (n % shape.head_dim, n / (shape.head_dim * shape.heads) % shape.length);
        let (c, s) = (cos[t * half + i % half], sin[t * half + i % half]);
        if i < half { x[n] * c - x[n + half] * s } else { x[n] * c + x[n - half] * s }
    };
    (0..x.len()).map(value).collect()
}

/// See [`crate::swiglu`].
pub fn swiglu(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(&g, &u)| (f64::from(g) / (1.0 + (-f64::from(g)).exp()) * f64::from(u)) as f32).collect()
}

/// See [`crate::cross_entropy`].
pub fn cross_entropy(logits: &[f32], labels: &[i32], vocab: usize) -> Vec<f32> {
    let loss = |(row, &label): (&[f32], &i32)| {
        let Ok(label) = usize::try_from(label) else { return 0.0 };
        let top = row.iter().fold(f64::NEG_INFINITY, |top, &x| top.max(f64::from(x)));
        let sum: f64 = row.iter().map(|&x| (f64::from(x) - top).exp()).sum();
        (top + sum.ln() - f64::from(row[label])) as f32
    };
    logits.chunks_exact(vocab).zip(labels).map(loss).collect()
}

/// See [`crate::adamw`]: one element, in f64; returns weight and moments.
pub fn adamw((weight, first, second): (f64, f64, f64), gradient: f64, hyper: &AdamW) -> (f64, f64, f64) {
    let [rate, beta1, beta2, epsilon, decay, scale] =
        [hyper.learning_rate, hyper.beta1, hyper.beta2, hyper.epsilon, hyper.weight_decay, hyper.gradient_scale]
            .map(f64::from);
    let step = hyper.step as i32;
    let gradient = gradient * scale;
    let first = beta1 * first + (1.0 - beta1) * gradient;
    let second = beta2 * second + (1.0 - beta2) * gradient * gradient;
    let (m, v) = (first / (1.0 - beta1.powi(step)), second / (1.0 - beta2.powi(step)));
    (weight - rate * decay * weight - rate * m / (v.sqrt() + epsilon), first, second)
}

/// See [`crate::logistic_step`]; returns `(dx, dw)`.
pub fn logistic_step(x: &[f32], w: &[f32], labels: &[f32], rate: f32) -> (Vec<f32>, Vec<f32>) {
    let width = w.len() / labels.len();
    let row = |table: &[f32], n: usize, c: usize| f64::from(table[n * width + c]);
    let inputs = x.len() / width;
    let g = |i: usize, j: usize| {
        let dot: f64 = (0..width).map(|c| row(x, i, c) * row(w, j, c)).sum();
        f64::from(rate) * (f64::from(labels[j]) - 1.0 / (1.0 + (-dot).exp()))
    };
    let dx = table(inputs, width, |i, c| (0..labels.len()).map(|j| g(i, j) * row(w, j, c)).sum());
    let dw = table(labels.len(), width, |j, c| (0..inputs).map(|i| g(i, j) * row(x, i, c)).sum());
    (dx, dw)
}

/// See [`crate::cell`], for one row in f64: the hidden and the cell state after a step.
pub fn cell(cell: Cell, [x, u]: [&[f64]; 2], [h_before, c_before]: [&[f64]; 2]) -> (Vec<f64>, Vec<f64>) {
    let hidden = h_before.len();
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let sum = |gate: usize, n: usize| x[gate * hidden + n] + u[gate * hidden + n];
    let units = 0..hidden;
    match cell {
        Cell::Elman => (units.map(|n| sum(0, n).tanh()).collect(), Vec::new()),
        Cell::Gru => {
            let new = |n: usize| (x[2 * hidden + n] + sigmoid(sum(0, n)) * u[2 * hidden + n]).tanh();
            let mixed = |n: usize| (1.0 - sigmoid(sum(1, n))) * new(n) + sigmoid(sum(1, n)) * h_before[n];
            (units.map(mixed).collect(), Vec::new())
        }
        Cell::Lstm => {
            let kept = |n: usize| sigmoid(sum(1, n)) * c_before[n] + sigmoid(sum(0, n)) * sum(2, n).tanh();
            let c: Vec<f64> = units.clone().map(kept).collect();
            (units.map(|n| sigmoid(sum(3, n)) * c[n].tanh()).collect(), c)
        }
    }
}
