use inkstone_kernels::{
    AttentionGrads, AttentionSaved, AttentionShape, LinearShape, Precision, attention, attention_backward, linear,
    linear_grad_input, linear_grad_weight, rms_norm_backward, sum_of_squares,
};

use crate::numbers;

/// Everything whose work is shared between threads.
fn everything() -> Vec<f32> {
    let mut all = Vec::new();
    let shape = LinearShape { rows: 301, inputs: 130, outputs: 515 };
    let (x, w, dy) = (numbers(1, 301 * 130), numbers(2, 515 * 130), numbers(3, 301 * 515));
    for precision in [Precision::F32, Precision::Bf16] {
        let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
        linear(&mut y, &x, &w, shape, precision);
        linear_grad_input(&mut dx, &dy, &w, shape, precision);
        linear_grad_weight(&mut dw, &dy, &x, shape, precision);
        all.extend([y, dx, dw].concat());
    }
    let shape = AttentionShape { batch: 2, queries: 150, keys: 150, heads: 4, kv_heads: 2, head_dim: 16, scale: 0.25 };
    let (q, k, v, starts) =
        (numbers(4, 2 * 150 * 64), numbers(5, 2 * 150 * 32), numbers(6, 2 * 150 * 32), vec![0; 300]);
    let (mut out, mut lse) = (vec![0.0; q.len()], vec![0.0; 2 * 4 * 150]);
    attention(&mut out, &mut lse, (&q, &k, &v), &starts, shape);
    let (mut dq, mut dk, mut dv) = (vec![0.0; q.len()], vec![0.0; k.len()], vec![0.0; v.len()]);
    let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &out, lse: &lse, starts: &starts };
    attention_backward(AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv }, &numbers(7, q.len()), saved, shape);
    let (mut dx, mut dweight) = (vec![0.0; x.len()], vec![0.0; 130]);
    rms_norm_backward(&mut dx, &mut dweight, &numbers(8, x.len()), &x, &numbers(9, 130), 1e-5);
    all.extend([out, lse, dq, dk, dv, dx, dweight].concat());
    all.push(sum_of_squares(&all) as f32);
    all
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
