use inkstone_kernels::{
    AttentionGrads, AttentionSaved, AttentionShape, BLOCK_POSITIONS, PackedAttentionSaved, PagedBlock, PagedQuery,
    PagedShape, Precision, Stored, attention, attention_backward, packed_attention, packed_attention_backward,
    paged_attention, reference,
};

use crate::{close, gradient_is, numbers};

fn shape(batch: usize, queries: usize, keys: usize, heads: usize, kv_heads: usize, head_dim: usize) -> AttentionShape {
    AttentionShape {
        batch,
        queries,
        keys,
        heads,
        kv_heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        precision: Precision::F32,
    }
}

/// Documents of growing length in every row.
fn starts(shape: AttentionShape, separate: bool) -> Vec<u32> {
    let offset = shape.keys - shape.queries;
    let start = |t: usize| {
        let mut start = 0;
        let mut length = 1;
        while separate && start + length <= offset + t {
            start += length;
            length = length * 2 + 1;
        }
        start as u32
    };
    (0..shape.batch).flat_map(|_| (0..shape.queries).map(start)).collect()
}

fn run(shape: AttentionShape, starts: &[u32]) -> (Vec<Vec<f32>>, Vec<f32>, Vec<f32>) {
    let q = numbers(1, shape.batch * shape.queries * shape.heads * shape.head_dim);
    let size = shape.batch * shape.keys * shape.kv_heads * shape.head_dim;
    let (k, v) = (numbers(2, size), numbers(3, size));
    let (mut out, mut lse) = (vec![9.0; q.len()], vec![9.0; shape.batch * shape.heads * shape.queries]);
    attention(&mut out, &mut lse, (&q, &k, &v), starts, shape);
    (vec![q, k, v], out, lse)
}

#[test]
fn in_bf16_it_stays_near_the_reference() {
    let s = AttentionShape { precision: Precision::Bf16, ..shape(2, 130, 130, 4, 2, 32) };
    let starts = starts(s, true);
    let (qkv, out, lse) = run(s, &starts);
    close(&out, &reference::attention(&qkv[0], &qkv[1], &qkv[2], &starts, s), 2e-2);
    let (_, exact, _) = run(AttentionShape { precision: Precision::F32, ..s }, &starts);
    assert_ne!(out, exact, "nothing was rounded");
    assert!(lse.iter().all(|x| x.is_finite()));
}

#[test]
fn forward_equals_the_reference() {
    for s in [
        shape(1, 1, 1, 1, 1, 1),
        shape(2, 5, 5, 4, 2, 6),
        shape(1, 130, 130, 2, 1, 16),
        shape(2, 3, 9, 2, 2, 8),
        shape(1, 1, 200, 4, 4, 32),
        shape(1, 65, 70, 3, 1, 10),
    ] {
        for separate in [false, true] {
            let starts = starts(s, separate);
            let (qkv, out, _) = run(s, &starts);
            close(&out, &reference::attention(&qkv[0], &qkv[1], &qkv[2], &starts, s), 1e-5);
        }
    }
}

#[test]
fn backward_equals_finite_differences_of_the_reference() {
    let shapes =
        [shape(1, 4, 4, 1, 1, 4), shape(2, 70, 70, 4, 2, 6), shape(1, 5, 12, 2, 1, 8), shape(1, 65, 131, 2, 1, 5)];
    for (s, separate) in shapes.into_iter().flat_map(|s| [(s, true), (s, false)]) {
        let starts = starts(s, separate);
        let (qkv, out, lse) = run(s, &starts);
        let dout = numbers(4, out.len());
        let mut grads: Vec<Vec<f32>> = qkv.iter().map(|x| vec![9.0; x.len()]).collect();
        let [dq, dk, dv] = &mut grads[..] else { unreachable!() };
        let saved = AttentionSaved { q: &qkv[0], k: &qkv[1], v: &qkv[2], out: &out, lse: &lse, starts: &starts };
        attention_backward(AttentionGrads { dq, dk, dv }, &dout, saved, s);
        for i in 0..3 {
            gradient_is(&grads[i], &qkv[i], &dout, |moved| {
                let mut inputs = qkv.clone();
                inputs[i] = moved.to_vec();
                reference::attention(&inputs[0], &inputs[1], &inputs[2], &starts, s)
            });
        }
    }
}

/// Rows of several matrices side by side.
fn side_by_side(parts: [(&[f32], usize); 3]) -> Vec<f32> {
    let rows = parts[0].0.len() / parts[0].1;
    (0..rows).flat_map(|n| parts.map(|(part, width)| &part[n * width..(n + 1) * width]).concat()).collect()
}

#[test]
fn side_by_side_it_gives_the_same_bits() {
    for (heads, kv_heads) in [(4, 4), (4, 2)] {
        let shape = shape(2, 70, 70, heads, kv_heads, 16);
        let starts = starts(shape, true);
        let (inputs, out, lse) = run(shape, &starts);
        let widths = [heads * 16, kv_heads * 16, kv_heads * 16];
        let packed = |parts: [&[f32]; 3]| side_by_side(std::array::from_fn(|n| (parts[n], widths[n])));
        let qkv = packed([&inputs[0], &inputs[1], &inputs[2]]);
        let (mut packed_out, mut packed_lse) = (vec![9.0; out.len()], vec![9.0; lse.len()]);
        packed_attention(&mut packed_out, &mut packed_lse, &qkv, &starts, shape);
        assert_eq!((&packed_out, &packed_lse), (&out, &lse));

        let dout = numbers(4, out.len());
        let [mut dq, mut dk, mut dv] = [0, 1, 2].map(|n| vec![9.0; inputs[n].len()]);
        let saved =
            AttentionSaved { q: &inputs[0], k: &inputs[1], v: &inputs[2], out: &out, lse: &lse, starts: &starts };
        attention_backward(AttentionGrads { dq: &mut dq, dk: &mut dk, dv: &mut dv }, &dout, saved, shape);
        let mut dqkv = vec![9.0; qkv.len()];
        let saved = PackedAttentionSaved { qkv: &qkv, out: &out, lse: &lse, starts: &starts };
        packed_attention_backward(&mut dqkv, &dout, saved, shape);
        assert_eq!(dqkv, packed([&dq, &dk, &dv]));
    }
}

#[test]
fn a_document_does_not_see_the_one_before() {
    let s = shape(1, 8, 8, 1, 1, 4);
    let starts = [0, 0, 0, 0, 4, 4, 4, 4];
    let (qkv, out, _) = run(s, &starts);
    let mut changed = qkv.clone();
    changed[1][..16].fill(5.0);
    changed[2][..16].fill(-3.0);
    let (mut again, mut lse) = (vec![0.0; out.len()], vec![0.0; 8]);
    attention(&mut again, &mut lse, (&changed[0], &changed[1], &changed[2]), &starts, s);
    assert_eq!(out[16..], again[16..]);
    assert_ne!(out[..16], again[..16]);
}

/// Keys and values `[s, g, d]` as blocks.
fn paged(shape: AttentionShape, (k, v): (&[f32], &[f32])) -> Vec<(Vec<f32>, Vec<f32>)> {
    let AttentionShape { keys, kv_heads, head_dim: d, .. } = shape;
    let place = |n: usize| (n / d / kv_heads, n / d % kv_heads, n % d);
    let blank = vec![f32::NAN; kv_heads * d * BLOCK_POSITIONS];
    let mut blocks = vec![(blank.clone(), blank); keys.div_ceil(BLOCK_POSITIONS)];
    for (n, (k, v)) in k.iter().zip(v).enumerate() {
        let (s, g, i) = place(n);
        let (block, p) = (&mut blocks[s / BLOCK_POSITIONS], s % BLOCK_POSITIONS);
        block.0[(g * d + i) * BLOCK_POSITIONS + p] = *k;
        block.1[(g * BLOCK_POSITIONS + p) * d + i] = *v;
    }
    blocks
}

#[test]
fn over_blocks_it_equals_the_reference() {
    for s in [shape(1, 1, 1, 1, 1, 1), shape(1, 5, 70, 4, 2, 6), shape(1, 40, 40, 6, 2, 32), shape(1, 2, 600, 2, 1, 64)]
    {
        for separate in [false, true] {
            let starts = starts(s, separate);
            let (qkv, out, _) = run(s, &starts);
            let blocks = paged(s, (&qkv[1], &qkv[2]));
            let views: Vec<PagedBlock<'_>> =
                blocks.iter().map(|(k, v)| PagedBlock { keys: Stored::F32(k), values: Stored::F32(v) }).collect();
            let query = |(t, &start): (usize, &u32)| PagedQuery {
                blocks: &views,
                position: s.keys - s.queries + t,
                start: start as usize,
            };
            let queries: Vec<PagedQuery<'_>> = starts.iter().enumerate().map(query).collect();
            let heads = PagedShape { heads: s.heads, kv_heads: s.kv_heads, head_dim: s.head_dim, scale: s.scale };
            let mut got = vec![f32::NAN; out.len()];
            paged_attention(&mut got, &qkv[0], &queries, None, heads);
            close(&got, &out, 2e-6);
        }
    }
}

#[test]
fn over_blocks_a_query_has_the_same_bits_alone_and_among_others() {
    for s in [shape(1, 90, 300, 8, 2, 72), shape(1, 40, 41, 3, 3, 16)] {
        for separate in [false, true] {
            let starts = starts(s, separate);
            let (qkv, _, _) = run(s, &starts);
            let blocks = paged(s, (&qkv[1], &qkv[2]));
            let views: Vec<PagedBlock<'_>> =
                blocks.iter().map(|(k, v)| PagedBlock { keys: Stored::F32(k), values: Stored::F32(v) }).collect();
            let heads = PagedShape { heads: s.heads, kv_heads: s.kv_heads, head_dim: s.head_dim, scale: s.scale };
            let slopes: Vec<f32> = (0..s.heads).map(|h| 0.1 / (h + 1) as f32).collect();
            let attend = |queries: std::ops::Range<usize>| {
                let width = s.heads * s.head_dim;
                let seen = queries.clone().map(|t| PagedQuery {
                    blocks: &views,
                    position: s.keys - s.queries + t,
                    start: starts[t] as usize,
                });
                let mut got = vec![f32::NAN; queries.len() * width];
                let q = &qkv[0][queries.start * width..queries.end * width];
                paged_attention(&mut got, q, &seen.collect::<Vec<_>>(), Some(&slopes), heads);
                got
            };
            let together = attend(0..s.queries);
            let alone: Vec<f32> = (0..s.queries).flat_map(|t| attend(t..t + 1)).collect();
            assert!(together.iter().zip(&alone).all(|(a, b)| a.to_bits() == b.to_bits()), "{s:?}");
        }
    }
}
