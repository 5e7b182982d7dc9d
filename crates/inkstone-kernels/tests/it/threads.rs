use inkstone_kernels::{
    AdamW, AttentionGrads, AttentionSaved, AttentionShape, LinearShape, Precision, adamw, attention,
    attention_backward, cross_entropy, cross_entropy_backward, embedding_backward, linear, linear_grad_input,
    linear_grad_weight, rms_norm, rms_norm_backward, sum_of_squares, swiglu, swiglu_backward,
};

use crate::numbers;

/// Everything whose work is shared between threads.
fn everything() -> Vec<f32> {
    let mut all = [
        products(LinearShape { rows: 301, inputs: 130, outputs: 515 }),
        products(LinearShape { rows: 1, inputs: 700, outputs: 515 }),
        products(LinearShape { rows: 4, inputs: 700, outputs: 515 }),
        attentions(),
        loops(),
    ]
    .concat();
    all.push(sum_of_squares(&all) as f32);
    all
}

fn products(shape: LinearShape) -> Vec<f32> {
    let LinearShape { rows, inputs, outputs } = shape;
    let (x, w, dy) = (numbers(1, rows * inputs), numbers(2, outputs * inputs), numbers(3, rows * outputs));
    let mut all = Vec::new();
    for precision in [Precision::F32, Precision::Bf16] {
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        linear(&mut y, &x, &w, shape, precision);
        linear_grad_input(&mut dx, &dy, &w, shape, precision);
        linear_grad_weight(&mut dw, &dy, &x, shape, precision);
        all.extend([y, dx, dw].concat());
    }
    all
}

fn attentions() -> Vec<f32> {
    let shape = AttentionShape {
        batch: 2,
        queries: 150,
        keys: 150,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
        scale: 0.25,
        precision: Precision::F32,
    };
    let (q, k, v, starts) =
        (numbers(4, 2 * 150 * 64), numbers(5, 2 * 150 * 32), numbers(6, 2 * 150 * 32), vec![0; 300]);
    let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; 2 * 4 * 150]);
    attention(&mut out, &mut lse, (&q, &k, &v), &starts, shape);
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &out, lse: &lse, starts: &starts };
    attention_backward(AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv }, &numbers(7, q.len()), saved, shape);
    [out, lse, dq, dk, dv].concat()
}

fn loops() -> Vec<f32> {
    let (x, z, weight) = (numbers(8, 301 * 130), numbers(9, 301 * 130), numbers(10, 130));
    let mut outputs = vec![vec![0.0; x.len()]; 8];
    let [y, dx, gated, dgate, dup, dlogits, first, second] = &mut outputs[..] else { unreachable!() };
    let mut dweight = vec![0.0; 130];
    rms_norm(y, &x, &weight, 1e-5);
    rms_norm_backward(dx, &mut dweight, &z, &x, &weight, 1e-5);
    swiglu(gated, &x, &z);
    swiglu_backward((dgate, dup), y, (&x, &z));
    let labels: Vec<i32> = (0..301).map(|n| n % 131 - 1).collect();
    let mut losses = vec![0.0; 301];
    cross_entropy(&x, &labels, &mut losses, 130);
    dlogits.copy_from_slice(&x);
    cross_entropy_backward(dlogits, &labels, 0.1, 130);
    let mut dtable = vec![0.0; 7 * 130];
    embedding_backward(&mut dtable, &x, &(0..301).map(|n| n * n % 7).collect::<Vec<_>>(), 130);
    let mut moved = z.clone();
    let hyper = AdamW {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step: 3,
        gradient_scale: 0.5,
    };
    adamw(&mut moved, first, second, &x, &hyper);
    outputs.extend([dweight, losses, dtable, moved]);
    outputs.concat()
}

#[test]
fn byte_equal_at_any_number_of_threads() {
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(everything).into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    let one = with(1);
    for threads in [1, 2, 3, 8] {
        assert!(one == with(threads), "{threads} threads gave other bytes than 1");
    }
}
