//! Shapes at the edges of tiles, chunks and lanes; degenerate ones; wrong lengths.

use std::panic::{UnwindSafe, catch_unwind};

use inkstone_kernels::{
    AdamW, AttentionGrads, AttentionSaved, AttentionShape, LinearShape, Precision, RopeShape, adamw, add_scaled,
    attention, attention_backward, cross_entropy, cross_entropy_backward, embedding, linear, linear_grad_input,
    linear_grad_weight, reference, rms_norm, rms_norm_backward, rope, sum_of_squares, swiglu,
};
use rayon::prelude::*;

use crate::{close, numbers};

/// Around lanes (16, 32), squares (16), chunks (512) and nothing.
const LENGTHS: [usize; 14] = [0, 1, 2, 15, 16, 17, 31, 33, 127, 511, 512, 513, 1023, 1025];

#[test]
fn products_with_an_empty_side() {
    for (rows, inputs, outputs) in [(0, 0, 0), (0, 5, 3), (7, 0, 3), (1, 0, 3), (7, 5, 0), (1, 5, 0), (70, 0, 70)] {
        for precision in [Precision::F32, Precision::Bf16] {
            let shape = LinearShape { rows, inputs, outputs };
            let (x, w, dy) = (numbers(1, rows * inputs), numbers(2, outputs * inputs), numbers(3, rows * outputs));
            let mut out = [vec![9.0; dy.len()], vec![9.0; x.len()], vec![9.0; w.len()]];
            let [y, dx, dw] = &mut out;
            linear(y, &x, &w, shape, precision);
            linear_grad_input(dx, &dy, &w, shape, precision);
            linear_grad_weight(dw, &dy, &x, shape, precision);
            assert!(out.concat().iter().all(|&v| v == 0.0), "{shape:?}: {out:?}");
        }
    }
}

#[test]
fn products_at_the_edges_of_tiles_in_both_precisions() {
    for (rows, inputs, outputs) in [
        (3, 65, 70),
        (4, 31, 2000),
        (5, 33, 64),
        (63, 17, 130),
        (64, 15, 127),
        (65, 16, 513),
        (511, 5, 129),
        (513, 3, 1025),
    ] {
        let shape = LinearShape { rows, inputs, outputs };
        for precision in [Precision::F32, Precision::Bf16] {
            let values = |seed, n| match precision {
                Precision::F32 => numbers(seed, n),
                Precision::Bf16 => numbers(seed, n).iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect(),
            };
            let (x, w, dy) = (numbers(1, rows * inputs), numbers(2, outputs * inputs), numbers(3, rows * outputs));
            let (rx, rw, rdy) = (values(1, x.len()), values(2, w.len()), values(3, dy.len()));
            let (mut y, mut dx, mut dw) = (vec![9.0; dy.len()], vec![9.0; x.len()], vec![9.0; w.len()]);
            linear(&mut y, &x, &w, shape, precision);
            close(&y, &reference::linear(&rx, &rw, shape), 1e-4);
            linear_grad_input(&mut dx, &dy, &w, shape, precision);
            close(&dx, &reference::linear_grad_input(&rdy, &rw, shape), 1e-4);
            linear_grad_weight(&mut dw, &dy, &x, shape, precision);
            close(&dw, &reference::linear_grad_weight(&rdy, &rx, shape), 1e-4);
        }
    }
}

#[test]
fn products_of_denormals_and_of_huge_values() {
    for (rows, inputs, outputs) in [(1, 40, 3), (70, 40, 65)] {
        let shape = LinearShape { rows, inputs, outputs };
        for factor in [1e-40, 1e30] {
            let x: Vec<f32> = numbers(1, rows * inputs).iter().map(|x| x * factor).collect();
            let w = numbers(2, outputs * inputs);
            let mut y = vec![9.0; rows * outputs];
            linear(&mut y, &x, &w, shape, Precision::F32);
            let scaled = |y: &[f32]| y.iter().map(|y| y / factor).collect::<Vec<_>>();
            close(&scaled(&y), &scaled(&reference::linear(&x, &w, shape)), 1e-4);
        }
    }
}

#[test]
fn products_called_by_many_tasks_at_once_do_not_share_scratch() {
    let shape = LinearShape { rows: 130, inputs: 40, outputs: 150 };
    let run = |seed: u64| {
        let (x, w) = (numbers(seed, 130 * 40), numbers(seed + 1, 150 * 40));
        let mut y = vec![0.0; 130 * 150];
        linear(&mut y, &x, &w, shape, Precision::Bf16);
        y
    };
    let alone: Vec<_> = (0..40).map(run).collect();
    let together: Vec<_> = (0..40u64).into_par_iter().map(run).collect();
    assert!(alone == together);
}

fn shape(sizes: [usize; 6]) -> AttentionShape {
    let [batch, queries, keys, heads, kv_heads, head_dim] = sizes;
    AttentionShape { batch, queries, keys, heads, kv_heads, head_dim, scale: 0.5, precision: Precision::F32 }
}

#[test]
fn attention_without_queries_rows_or_width() {
    for sizes in [[0, 4, 4, 2, 1, 4], [2, 0, 0, 2, 1, 4], [2, 0, 5, 2, 1, 4], [1, 20, 20, 2, 2, 0], [1, 3, 3, 0, 1, 4]]
    {
        let s = shape(sizes);
        let q = numbers(1, s.batch * s.queries * s.heads * s.head_dim);
        let k = numbers(2, s.batch * s.keys * s.kv_heads * s.head_dim);
        let starts = vec![0; s.batch * s.queries];
        let (mut out, mut lse) = (q.clone(), vec![0.0; s.batch * s.heads * s.queries]);
        attention(&mut out, &mut lse, (&q, &k, &k), &starts, s);
        let (mut dq, mut dk, mut dv) = (q.clone(), vec![9.0; k.len()], vec![9.0; k.len()]);
        let saved = AttentionSaved { q: &q, k: &k, v: &k, out: &out, lse: &lse, starts: &starts };
        attention_backward(AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv }, &q, saved, s);
        assert!(dk.iter().chain(&dv).all(|&x| x == 0.0), "{sizes:?}");
    }
}

#[test]
fn attention_at_the_edges_of_blocks() {
    for sizes in [
        [1, 63, 63, 1, 1, 1],
        [1, 64, 64, 2, 2, 16],
        [2, 65, 65, 2, 1, 17],
        [1, 129, 131, 3, 3, 5],
        [1, 16, 300, 4, 2, 33],
        [1, 15, 64, 6, 3, 8],
    ] {
        let s = shape(sizes);
        let offset = (s.keys - s.queries) as u32;
        for document in [7, 64, u32::MAX] {
            let starts: Vec<u32> = (0..(s.batch * s.queries) as u32)
                .map(|n| (offset + n % s.queries as u32) / document * document)
                .collect();
            let q = numbers(1, s.batch * s.queries * s.heads * s.head_dim);
            let size = s.batch * s.keys * s.kv_heads * s.head_dim;
            let (k, v) = (numbers(2, size), numbers(3, size));
            let (mut out, mut lse) = (vec![9.0; q.len()], vec![9.0; s.batch * s.heads * s.queries]);
            attention(&mut out, &mut lse, (&q, &k, &v), &starts, s);
            close(&out, &reference::attention(&q, &k, &v, &starts, s), 1e-5);
        }
    }
}

#[test]
fn a_query_that_sees_only_itself_returns_its_value() {
    let s = shape([1, 70, 70, 2, 2, 3]);
    let (q, k, v) = (numbers(1, 420), numbers(2, 420), numbers(3, 420));
    let starts: Vec<u32> = (0..70).collect();
    let (mut out, mut lse) = (vec![9.0; 420], vec![9.0; 140]);
    attention(&mut out, &mut lse, (&q, &k, &v), &starts, s);
    close(&out, &v, 1e-6);
    let score = |t: usize, h: usize| (0..3).map(|i| 0.5 * q[(t * 2 + h) * 3 + i] * k[(t * 2 + h) * 3 + i]).sum();
    close(&lse, &(0..140).map(|n| score(n % 70, n / 70)).collect::<Vec<f32>>(), 1e-6);
    let (mut dq, mut dk, mut dv) = (vec![9.0; 420], vec![9.0; 420], vec![9.0; 420]);
    let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &out, lse: &lse, starts: &starts };
    let dout = numbers(4, 420);
    attention_backward(AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv }, &dout, saved, s);
    close(&dv, &dout, 1e-6);
    close(&dq, &[0.0; 420], 1e-6);
    close(&dk, &[0.0; 420], 1e-6);
}

#[test]
fn attention_with_scores_far_beyond_the_exponential() {
    let s = shape([1, 66, 66, 1, 1, 4]);
    let q: Vec<f32> = numbers(1, 264).iter().map(|x| x * 1e4).collect();
    let (k, v) = (numbers(2, 264), numbers(3, 264));
    let (mut out, mut lse) = (vec![9.0; 264], vec![9.0; 66]);
    attention(&mut out, &mut lse, (&q, &k, &v), &[0; 66], s);
    assert!(out.iter().chain(&lse).all(|x| x.is_finite()));
    close(&out, &reference::attention(&q, &k, &v, &[0; 66], s), 1e-3);
}

#[test]
fn cross_entropy_at_the_edges_of_chunks() {
    for vocab in LENGTHS.into_iter().filter(|&vocab| vocab > 0) {
        let logits: Vec<f32> = numbers(vocab as u64, 11 * vocab).iter().map(|x| x * 10.0).collect();
        let labels: Vec<i32> = (0..11).map(|n| if n % 4 == 3 { -1 } else { (vocab - 1) as i32 * (n % 2) }).collect();
        let (mut losses, mut dlogits) = (vec![9.0; 11], logits.clone());
        cross_entropy(&logits, &labels, &mut losses, vocab);
        close(&losses, &reference::cross_entropy(&logits, &labels, vocab), 1e-5);
        cross_entropy_backward(&mut dlogits, &labels, 2.0, vocab);
        for (row, (drow, label)) in dlogits.chunks(vocab).zip(&labels).enumerate() {
            assert!(drow.iter().sum::<f32>().abs() < 1e-5, "the gradient of row {row} does not sum to 0");
            let expected = if *label < 0 { 0.0 } else { 2.0 * ((-losses[row]).exp() - 1.0) };
            assert!((drow[(*label).max(0) as usize] - expected).abs() < 1e-5);
        }
    }
}

#[test]
fn cross_entropy_of_nothing_and_of_ignored_rows() {
    cross_entropy(&[], &[], &mut [], 5);
    let mut losses = [9.0; 3];
    cross_entropy(&[], &[-1, -1, -100], &mut losses, 0);
    assert_eq!(losses, [0.0; 3]);
    let mut dlogits = [f32::NAN; 6];
    cross_entropy_backward(&mut dlogits, &[-1; 3], 1.0, 2);
    assert_eq!(dlogits, [0.0; 6]);
}

#[test]
fn norms_of_any_width_and_of_zeros() {
    for width in LENGTHS.into_iter().filter(|&width| width > 0) {
        for rows in [0, 1, 63, 65] {
            let (x, weight) = (numbers(1, rows * width), numbers(2, width));
            let (mut y, mut dx, mut dweight) = (vec![9.0; x.len()], vec![9.0; x.len()], vec![9.0; width]);
            rms_norm(&mut y, &x, &weight, 1e-5);
            close(&y, &reference::rms_norm(&x, &weight, 1e-5), 1e-5);
            rms_norm_backward(&mut dx, &mut dweight, &vec![0.0; x.len()], &x, &weight, 1e-5);
            assert!(dx.iter().chain(&dweight).all(|&d| d == 0.0));
        }
    }
    let (mut y, mut dx, mut dweight) = ([9.0; 4], [9.0; 4], [9.0; 2]);
    rms_norm(&mut y, &[0.0; 4], &[1.0; 2], 1e-5);
    rms_norm_backward(&mut dx, &mut dweight, &[1.0; 4], &[0.0; 4], &[1.0; 2], 1e-5);
    assert!(y == [0.0; 4] && dweight == [0.0; 2] && dx.iter().all(|d| d.is_finite()), "{dx:?}");
}

#[test]
fn loops_of_any_length() {
    for n in LENGTHS.into_iter().chain([(1 << 14) - 1, (1 << 14) + 1]) {
        let (a, b) = (numbers(1, n), numbers(2, n));
        let mut y = vec![9.0; n];
        swiglu(&mut y, &a, &b);
        close(&y, &reference::swiglu(&a, &b), 1e-6);
        let expected: f64 = a.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        assert!((sum_of_squares(&a) - expected).abs() <= 1e-12 * expected);
        let mut sum = a.clone();
        add_scaled(&mut sum, &b, -1.0);
        close(&sum, &a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<_>>(), 1e-6);
    }
}

#[test]
fn adamw_of_a_zero_gradient_only_decays_and_survives_denormals() {
    let hyper = AdamW {
        learning_rate: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.5,
        step: 1,
        gradient_scale: 1.0,
    };
    let (mut weight, mut first, mut second) = (vec![2.0; 33], vec![0.0; 33], vec![0.0; 33]);
    adamw(&mut weight, &mut first, &mut second, &[0.0; 33], &hyper);
    close(&weight, &[2.0 * 0.95; 33], 1e-6);
    adamw(&mut weight, &mut first, &mut second, &[1e-42; 33], &AdamW { step: u64::MAX, ..hyper });
    assert!(weight.iter().all(|w| w.is_finite()));
    adamw(&mut [], &mut [], &mut [], &[], &hyper);
}

type Call = Box<dyn Fn() + UnwindSafe>;

#[test]
fn wrong_lengths_are_named() {
    let shape = LinearShape { rows: 2, inputs: 3, outputs: 4 };
    let rotated = RopeShape { batch: 1, length: 2, heads: 1, head_dim: 3, row: 3 };
    let cases: [(&str, Call); 6] = [
        (
            "w has 11 elements, expected 12",
            Box::new(move || linear(&mut [0.0; 8], &[0.0; 6], &[0.0; 11], shape, Precision::F32)),
        ),
        (
            "label 5 of row 1 is outside the vocabulary of 2",
            Box::new(|| cross_entropy(&[0.0; 4], &[0, 5], &mut [0.0; 2], 2)),
        ),
        (
            "id 9 at position 1 is outside the table of 3 rows",
            Box::new(|| embedding(&mut [0.0; 4], &[0.0; 6], &[0, 9], 2)),
        ),
        (
            "head_dim is 3, expected an even number",
            Box::new(move || rope(&mut [0.0; 6], &[0.0; 2], &[0.0; 2], rotated, false)),
        ),
        ("up has 2 elements, expected 3", Box::new(|| swiglu(&mut [0.0; 3], &[0.0; 3], &[0.0; 2]))),
        ("expected rows of 2", Box::new(|| rms_norm(&mut [0.0; 3], &[0.0; 3], &[0.0; 2], 1e-5))),
    ];
    for (expected, run) in cases {
        let panic = catch_unwind(run).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains(expected), "{message} does not say: {expected}");
    }
}
