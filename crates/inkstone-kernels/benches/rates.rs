//! Best times of the kernels at training shapes: `cargo bench -p inkstone-kernels [-- FILTER]`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "prints its measurements")]
#![allow(unsafe_code, reason = "the product library itself is measured beside ours")]

use std::time::{Duration, Instant};

use inkstone_kernels::quantised::{BlockFormat, Packed, quantised_linear};
use inkstone_kernels::{
    AdamW, AttentionGrads, AttentionSaved, AttentionShape, BLOCK_POSITIONS, LinearShape, PagedBlock, PagedQuery,
    PagedShape, Precision, RopeShape, Stored, adamw, attention, attention_backward, awake, cross_entropy,
    cross_entropy_backward, embedding_backward, linear, linear_grad_input, linear_grad_weight, paged_attention,
    rms_norm, rms_norm_backward, rope, sum_of_squares, swiglu, swiglu_backward,
};

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let wants = |name: &str| name.contains(&filter);
    for precision in [Precision::F32, Precision::Bf16] {
        let roof = inkstone_kernels::isa::roof(precision).unwrap_or(f64::NAN);
        println!("roof in {precision:?}: {:.1} GFLOP/s", roof / 1e9);
    }
    let models =
        [[(512, 512), (512, 1376), (1376, 512), (512, 8192)], [(192, 192), (192, 512), (512, 192), (192, 4096)]];
    for (inputs, outputs) in models.concat().into_iter().filter(|_| wants("linear")) {
        products(LinearShape { rows: 2048, inputs, outputs });
    }
    for (inputs, outputs) in models.concat().into_iter().filter(|_| wants("vector")) {
        vectors(LinearShape { rows: 1, inputs, outputs });
    }
    for (batch, length, heads, head_dim) in [(8, 256, 8, 64), (8, 256, 6, 32), (2, 1024, 8, 64), (1, 2048, 8, 64)]
        .into_iter()
        .filter(|_| wants("attention"))
    {
        let (queries, keys, kv_heads, scale) = (length, length, heads, 0.125);
        attentions(AttentionShape {
            batch,
            queries,
            keys,
            heads,
            kv_heads,
            head_dim,
            scale,
            precision: Precision::F32,
        });
    }
    if wants("decode") {
        attentions(AttentionShape {
            batch: 1,
            queries: 1,
            keys: 512,
            heads: 8,
            kv_heads: 8,
            head_dim: 64,
            scale: 0.125,
            precision: Precision::F32,
        });
    }
    for format in [BlockFormat::Q4_0, BlockFormat::Q4_K, BlockFormat::Q6_K, BlockFormat::Q8_0] {
        if wants("quantised") {
            quantised(format.name(), |size| {
                let blocks: Vec<u8> =
                    (0..format.bytes_of(size[0] * size[1]).unwrap()).map(|n| (n % 59) as u8).collect();
                Packed::new(format, &blocks, size)
            });
        }
    }
    if wants("quantised") {
        quantised("bf16", |size| Packed::bf16(&vec![0; 2 * size[0] * size[1]], size).unwrap());
    }
    if wants("paged") {
        paged();
    }
    if wants("loops") {
        loops();
    }
}

/// Products of one row, with as many weights as no cache holds, of a few rows, and of a prompt.
fn quantised(name: &str, pack: impl Fn([usize; 2]) -> Packed) {
    let [outputs, inputs] = [2816, 2048];
    let weights: Vec<Packed> = (0..32).map(|_| pack([outputs, inputs])).collect();
    for rows in [1, 4, 16, 96, 504] {
        let (x, mut y) = (numbers(rows * inputs), vec![0.0; rows * outputs]);
        let weights = &weights[..if rows > 16 { 1 } else { weights.len() }];
        let seconds = best(|| {
            awake(|| weights.iter().for_each(|w| quantised_linear(&mut y, &x, w, rows)));
        });
        let bytes: usize = weights.iter().map(Packed::bytes).sum();
        let name = format!("quantised {name}, {rows} rows");
        report(&name, bytes as f64, "B", seconds);
        report(&name, (2 * weights.len() * rows * inputs * outputs) as f64, "OP", seconds);
    }
}

/// A prompt of 512 tokens over blocks.
fn paged() {
    for (heads, kv_heads, head_dim) in [(32, 4, 64), (8, 8, 64)] {
        let (tokens, size) = (512, kv_heads * head_dim * BLOCK_POSITIONS);
        let numbers_of: Vec<[Vec<f32>; 2]> = (0..32).map(|_| [numbers(size), numbers(size)]).collect();
        let views = numbers_of.iter().map(|[k, v]| PagedBlock { keys: Stored::F32(k), values: Stored::F32(v) });
        let blocks: Vec<PagedBlock<'_>> = views.collect();
        let queries: Vec<PagedQuery<'_>> =
            (0..tokens).map(|position| PagedQuery { blocks: &blocks, position, start: 0 }).collect();
        let (q, mut out) = (numbers(tokens * heads * head_dim), vec![0.0; tokens * heads * head_dim]);
        let shape = PagedShape { heads, kv_heads, head_dim, scale: 0.125 };
        let flops = (2 * tokens * (tokens + 1) * heads * head_dim) as f64;
        let name = format!("paged {heads} heads over {kv_heads}");
        report(&name, flops, "FLOP", best(|| paged_attention(&mut out, &q, &queries, None, shape)));
        report(
            &format!("{name}, last"),
            0.0,
            "",
            best(|| {
                paged_attention(&mut out[..heads * head_dim], &q[..heads * head_dim], &queries[511..], None, shape);
            }),
        );
    }
}

/// The best time of `run` over about half a second.
fn best(mut run: impl FnMut()) -> f64 {
    run();
    let (begin, mut best) = (Instant::now(), Duration::MAX);
    while begin.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed());
    }
    best.as_secs_f64()
}

fn report(name: &str, amount: f64, unit: &str, seconds: f64) {
    println!("{name:<44} {:>9.3} ms {:>9.1} G{unit}/s", seconds * 1e3, amount / seconds / 1e9);
}

fn numbers(n: usize) -> Vec<f32> {
    (0..n as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 23) as f32 - 1.0).collect()
}

fn products(shape: LinearShape) {
    let LinearShape { rows, inputs, outputs } = shape;
    let (mut x, mut w, mut y) = (numbers(rows * inputs), numbers(outputs * inputs), numbers(rows * outputs));
    let flops = 2.0 * (rows * inputs * outputs) as f64;
    let name = format!("{rows} x {inputs} -> {outputs}");
    let time = best(|| library(&mut y, &x, &w, shape)) / rayon::current_num_threads() as f64;
    report(&format!("{name} library, perfect threads"), flops, "FLOP", time);
    for precision in [Precision::F32, Precision::Bf16] {
        let time = best(|| linear(&mut y, &x, &w, shape, precision));
        report(&format!("{name} forward {precision:?}"), flops, "FLOP", time);
        let time = best(|| linear_grad_input(&mut x, &y, &w, shape, precision));
        report(&format!("{name} input gradient {precision:?}"), flops, "FLOP", time);
        let time = best(|| linear_grad_weight(&mut w, &y, &x, shape, precision));
        report(&format!("{name} weight gradient {precision:?}"), flops, "FLOP", time);
    }
}

/// The forward product by the library, on one thread.
fn library(y: &mut [f32], x: &[f32], w: &[f32], shape: LinearShape) {
    let LinearShape { rows, inputs, outputs } = shape;
    let (wide, deep) = (outputs as isize, inputs as isize);
    // SAFETY: the slices have the lengths that the shape says.
    unsafe {
        gemm::gemm(
            rows,
            outputs,
            inputs,
            y.as_mut_ptr(),
            1,
            wide,
            false,
            x.as_ptr(),
            1,
            deep,
            w.as_ptr(),
            deep,
            1,
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

fn vectors(shape: LinearShape) {
    let LinearShape { inputs, outputs, .. } = shape;
    let (x, w, mut y) = (numbers(inputs), numbers(outputs * inputs), numbers(outputs));
    for precision in [Precision::F32, Precision::Bf16] {
        let time = best(|| linear(&mut y, &x, &w, shape, precision));
        report(&format!("1 x {inputs} -> {outputs} {precision:?}"), 4.0 * w.len() as f64, "B", time);
    }
}

fn attentions(shape: AttentionShape) {
    let AttentionShape { batch, queries, keys, heads, kv_heads, head_dim, .. } = shape;
    let q = numbers(batch * queries * heads * head_dim);
    let (k, v) = (numbers(batch * keys * kv_heads * head_dim), numbers(batch * keys * kv_heads * head_dim));
    let (mut out, mut lse, starts) = (vec![0.0; q.len()], vec![0.0; batch * heads * queries], vec![0; batch * queries]);
    let pairs = queries * (keys - queries) + queries * (queries + 1) / 2;
    let flops = 4.0 * (batch * heads * head_dim * pairs) as f64;
    let name = format!("attention {batch} x {queries} of {keys}, {heads} x {head_dim}");
    let time = best(|| attention(&mut out, &mut lse, (&q, &k, &v), &starts, shape));
    report(&format!("{name} forward"), flops, "FLOP", time);
    let (mut dq, mut dk, mut dv) = (q.clone(), k.clone(), v.clone());
    let time = best(|| {
        let saved = AttentionSaved { q: &q, k: &k, v: &v, out: &out, lse: &lse, starts: &starts };
        attention_backward(AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv }, &out, saved, shape);
    });
    report(&format!("{name} backward"), 2.5 * flops, "FLOP", time);
}

fn loops() {
    let (rows, width, vocab, ffn) = (2048, 512, 8192, 1376);
    let (x, weight, mut y, mut z) =
        (numbers(rows * vocab), numbers(width), numbers(rows * vocab), vec![0.0; rows * ffn]);
    let (n, f, l) = (rows * width, rows * ffn, rows * vocab);
    let bytes = |n: usize| 4.0 * n as f64;
    report("rms_norm", bytes(2 * n), "B", best(|| rms_norm(&mut y[..n], &x[..n], &weight, 1e-5)));
    let (dx, dy) = y.split_at_mut(n);
    let mut dweight = vec![0.0; width];
    let time = best(|| rms_norm_backward(dx, &mut dweight, &dy[..n], &x[..n], &weight, 1e-5));
    report("rms_norm_backward", bytes(3 * n), "B", time);
    let shape = RopeShape { batch: 8, length: 256, heads: 8, head_dim: 64, row: 512 };
    let (cos, sin) = (numbers(256 * 32), numbers(256 * 32));
    report("rope", bytes(2 * n), "B", best(|| rope(&mut y[..n], &cos, &sin, shape, false)));
    report("swiglu", bytes(3 * f), "B", best(|| swiglu(&mut z, &x[..f], &x[f..2 * f])));
    let (dgate, dy) = y.split_at_mut(f);
    let time = best(|| swiglu_backward((dgate, &mut z), &mut dy[..f], (&x[f..2 * f], &x[2 * f..3 * f])));
    report("swiglu_backward", bytes(6 * f), "B", time);
    let labels: Vec<i32> = (0..rows as i32).map(|i| i * 31 % vocab as i32).collect();
    let mut losses = vec![0.0; rows];
    report("cross_entropy", bytes(l), "B", best(|| cross_entropy(&x, &labels, &mut losses, vocab)));
    let time = best(|| cross_entropy_backward(&mut y, &labels, 1e-3, vocab));
    report("cross_entropy_backward", bytes(2 * l), "B", time);
    let ids: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
    let time = best(|| embedding_backward(&mut y[..vocab * width], &x[..n], &ids, width));
    report("embedding_backward", bytes(vocab * width + 3 * n), "B", time);
    report(
        "sum_of_squares",
        bytes(l),
        "B",
        best(|| {
            std::hint::black_box(sum_of_squares(&x));
        }),
    );
    let hyper = AdamW {
        learning_rate: 1e-3,
        beta1: 0.9,
        beta2: 0.95,
        epsilon: 1e-8,
        weight_decay: 0.1,
        step: 10,
        gradient_scale: 1.0,
    };
    let (mut first, mut second) = (vec![0.0; l], vec![0.0; l]);
    report("adamw", bytes(7 * l), "B", best(|| adamw(&mut y, &mut first, &mut second, &x, &hyper)));
}
