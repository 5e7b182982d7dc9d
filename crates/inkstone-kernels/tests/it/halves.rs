//! What may be kept in bfloat16: the same as in f32 on rounded inputs, and the result rounded once.

use half::bf16;
use inkstone_kernels::{
    AttentionGrads, AttentionSaved, AttentionShape, Gelu, LayerNormGrads, LinearShape, Precision, RopeShape, add_bias,
    add_bias_backward, add_linear_grad_input, add_scaled, attention, attention_backward, gelu, gelu_backward,
    layer_norm, layer_norm_backward, linear, linear_grad_input, linear_grad_weight, narrow, rms_norm,
    rms_norm_backward, rope, swiglu, swiglu_backward,
};

use crate::numbers;

fn halves(seed: u64, n: usize) -> (Vec<bf16>, Vec<f32>) {
    let halves: Vec<bf16> = numbers(seed, n).into_iter().map(bf16::from_f32).collect();
    let wide = halves.iter().map(|x| x.to_f32()).collect();
    (halves, wide)
}

/// The same numbers once the wide ones are rounded.
#[track_caller]
fn same(narrow: &[bf16], wide: &[f32]) {
    let rounded: Vec<bf16> = wide.iter().map(|&x| bf16::from_f32(x)).collect();
    assert_eq!(narrow, rounded);
}

#[test]
fn products_of_any_shape() {
    for (rows, inputs, outputs) in [(0, 3, 4), (1, 33, 40), (3, 5, 7), (31, 64, 33), (97, 2101, 45), (130, 16, 1030)] {
        let shape = LinearShape { rows, inputs, outputs };
        let ((x, wide_x), (dy, wide_dy)) = (halves(1, rows * inputs), halves(3, rows * outputs));
        let w = numbers(2, outputs * inputs);
        for precision in [Precision::F32, Precision::Bf16] {
            let (mut y, mut wide_y) = (vec![bf16::ONE; rows * outputs], vec![1.0; rows * outputs]);
            linear(&mut y, &x, &w, shape, precision);
            linear(&mut wide_y, &wide_x, &w, shape, precision);
            same(&y, &wide_y);
            let (mut dx, mut wide_dx) = (vec![bf16::ONE; rows * inputs], vec![1.0; rows * inputs]);
            linear_grad_input(&mut dx, &dy, &w, shape, precision);
            linear_grad_input(&mut wide_dx, &wide_dy, &w, shape, precision);
            same(&dx, &wide_dx);
            let (mut dw, mut wide_dw) = (vec![1.0; outputs * inputs], vec![1.0; outputs * inputs]);
            linear_grad_weight(&mut dw, &dy, &x, shape, precision);
            linear_grad_weight(&mut wide_dw, &wide_dy, &wide_x, shape, precision);
            assert_eq!(dw, wide_dw);
        }
    }
}

#[test]
fn a_product_is_added_to_what_is_there() {
    let shape = LinearShape { rows: 29, inputs: 65, outputs: 11 };
    let ((dy, wide_dy), w) = (halves(1, 29 * 11), numbers(2, 65 * 11));
    let (mut dx, start) = halves(3, 29 * 65);
    let mut product = vec![0.0; 29 * 65];
    linear_grad_input(&mut product, &wide_dy, &w, shape, Precision::F32);
    add_linear_grad_input(&mut dx, &dy, &w, shape, Precision::F32);
    let sum: Vec<f32> = start.iter().zip(&product).map(|(a, b)| a + b).collect();
    same(&dx, &sum);
    let (mut twice, wide) = halves(4, 1000);
    let once = twice.clone();
    add_scaled(&mut twice, &once, 1.0);
    same(&twice, &wide.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
}

#[test]
fn norms_gates_and_rotations() {
    let (width, rows) = (37, 70);
    let n = width * rows;
    let (x, weight) = (numbers(1, n), numbers(2, width));
    let (mut y, mut wide_y) = (vec![bf16::ONE; n], vec![0.0; n]);
    rms_norm(&mut y, &x, &weight, 1e-5);
    rms_norm(&mut wide_y, &x, &weight, 1e-5);
    same(&y, &wide_y);
    let (dy, wide_dy) = halves(3, n);
    let [mut dx, mut wide_dx] = [vec![0.0; n], vec![1.0; n]];
    let [mut dweight, mut wide_dweight] = [vec![0.0; width], vec![1.0; width]];
    rms_norm_backward(&mut dx, &mut dweight, &dy, &x, &weight, 1e-5);
    rms_norm_backward(&mut wide_dx, &mut wide_dweight, &wide_dy, &x, &weight, 1e-5);
    assert_eq!((&dx, &dweight), (&wide_dx, &wide_dweight));
    let (x, wide_x) = halves(6, n);
    rms_norm_backward(&mut dx, &mut dweight, &dy, &x, &weight, 1e-5);
    rms_norm_backward(&mut wide_dx, &mut wide_dweight, &wide_dy, &wide_x, &weight, 1e-5);
    assert_eq!((dx, dweight), (wide_dx, wide_dweight));
    let mut narrowed = vec![bf16::ZERO; n];
    narrow(&mut narrowed, &wide_x);
    assert_eq!(narrowed, x);

    let ((gate, wide_gate), (up, wide_up)) = (halves(4, n), halves(5, n));
    swiglu(&mut y, &gate, &up);
    swiglu(&mut wide_y, &wide_gate, &wide_up);
    same(&y, &wide_y);
    let [mut dgate, mut dup] = [vec![bf16::ONE; n], vec![bf16::ONE; n]];
    let [mut wide_dgate, mut wide_dup] = [vec![0.0; n], vec![0.0; n]];
    let (mut dy, mut wide_dy) = (dy, wide_dy);
    swiglu_backward((&mut dgate, &mut dup), &mut dy, (&gate, &up));
    swiglu_backward((&mut wide_dgate, &mut wide_dup), &mut wide_dy, (&wide_gate, &wide_up));
    assert_eq!(dy, y);
    same(&dgate, &wide_dgate);
    same(&dup, &wide_dup);

    let shape = RopeShape { batch: 2, length: 5, heads: 3, head_dim: 8, row: 24 };
    let ((mut turned, mut wide), (cos, sin)) = (halves(6, 240), (numbers(7, 20), numbers(8, 20)));
    rope(&mut turned, &cos, &sin, shape, false);
    rope(&mut wide, &cos, &sin, shape, false);
    same(&turned, &wide);
}

#[test]
fn layer_norms_biases_and_error_units() {
    let (width, n) = (37, 37 * 70);
    let ((x, wide_x), (dy, wide_dy)) = (halves(1, n), halves(2, n));
    let (weight, bias) = (numbers(3, width), numbers(4, width));
    let (mut y, mut wide_y) = (vec![bf16::ONE; n], vec![0.0; n]);
    layer_norm(&mut y, &wide_x, (&weight, &bias), 1e-5);
    layer_norm(&mut wide_y, &wide_x, (&weight, &bias), 1e-5);
    same(&y, &wide_y);
    let found = |dy: &dyn Fn(LayerNormGrads<'_>)| {
        let [mut dx, mut dweight, mut dbias] = [n, width, width].map(|n| vec![9.0; n]);
        dy(LayerNormGrads { dx: &mut dx, dweight: &mut dweight, dbias: &mut dbias });
        [dx, dweight, dbias]
    };
    let narrow = found(&|into| layer_norm_backward(into, &dy, &x, &weight, 1e-5));
    assert_eq!(narrow, found(&|into| layer_norm_backward(into, &wide_dy, &wide_x, &weight, 1e-5)));

    let (mut shifted, mut wide_shifted) = (x.clone(), wide_x.clone());
    add_bias(&mut shifted, &bias);
    add_bias(&mut wide_shifted, &bias);
    same(&shifted, &wide_shifted);
    let (mut sum, mut wide_sum) = (vec![9.0; width], vec![1.0; width]);
    add_bias_backward(&mut sum, &dy);
    add_bias_backward(&mut wide_sum, &wide_dy);
    assert_eq!(sum, wide_sum);

    for form in [Gelu::Exact, Gelu::Tanh] {
        gelu(&mut y, &x, form);
        gelu(&mut wide_y, &wide_x, form);
        same(&y, &wide_y);
        gelu_backward(&mut y, &dy, &x, form);
        gelu_backward(&mut wide_y, &wide_dy, &wide_x, form);
        same(&y, &wide_y);
    }
}

#[test]
fn attention_and_its_gradients() {
    for precision in [Precision::F32, Precision::Bf16] {
        let shape = AttentionShape {
            batch: 2,
            queries: 70,
            keys: 70,
            heads: 4,
            kv_heads: 2,
            head_dim: 16,
            scale: 0.25,
            precision,
        };
        let starts: Vec<u32> = (0..140).map(|n| if n % 70 < 30 { 0 } else { 30 }).collect();
        let (q_size, kv_size) = (2 * 70 * 64, 2 * 70 * 32);
        let ((q, wide_q), (k, wide_k), (v, wide_v)) = (halves(1, q_size), halves(2, kv_size), halves(3, kv_size));
        let (mut out, mut lse) = (vec![bf16::ONE; q_size], vec![0.0; 2 * 4 * 70]);
        attention(&mut out, &mut lse, (&q, &k, &v), &starts, shape);
        let mut wide_out = vec![0.0; q_size];
        attention(&mut wide_out, &mut lse, (&wide_q, &wide_k, &wide_v), &starts, shape);
        same(&out, &wide_out);

        let (dout, wide_dout) = halves(4, q_size);
        let wide_out: Vec<f32> = out.iter().map(|x| x.to_f32()).collect();
        let [mut dq, mut dk, mut dv] = [q_size, kv_size, kv_size].map(|n| vec![bf16::ONE; n]);
        let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &out, lse: &lse, starts: &starts };
        attention_backward(AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv }, &dout, saved, shape);
        let [mut wide_dq, mut wide_dk, mut wide_dv] = [q_size, kv_size, kv_size].map(|n| vec![0.0; n]);
        let saved = AttentionSaved { q: &wide_q, k: &wide_k, v: &wide_v, out: &wide_out, lse: &lse, starts: &starts };
        let grads = AttentionGrads { dq: &mut wide_dq, dk: &mut wide_dk, dv: &mut wide_dv };
        attention_backward(grads, &wide_dout, saved, shape);
        same(&dq, &wide_dq);
        same(&dk, &wide_dk);
        same(&dv, &wide_dv);
    }
}
