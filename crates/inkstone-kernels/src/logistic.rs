//! Logistic regression of a few rows against a few others: the inner step of word2vec, as matrix products
//! of one window (arXiv:1604.04661, section 3).

use crate::exp::exp;
use crate::expect_len;
use crate::scratch::Scratch;
use crate::simd::simd_fn;

/// Rows are whole vectors of so many elements; callers fill up with zeros.
pub const ROW_LANES: usize = 16;

/// One step of gradient ascent on `Σᵢⱼ log P(labels[j] | x[i], w[j])` with `P(1 | x, w) = σ(x · w)`:
/// with `g[i, j] = rate · (labels[j] − σ(x[i] · w[j]))`, `dx[i] = Σⱼ g[i, j] · w[j]` and
/// `dw[j] = Σᵢ g[i, j] · x[i]`.
///
/// `x` and `dx` are `[n, width]`, `w` and `dw` are `[labels.len(), width]`, `width` a multiple of [`ROW_LANES`].
///
/// # Panics
/// If a slice does not have the length that the others say.
pub fn logistic_step((dx, dw): (&mut [f32], &mut [f32]), (x, w): (&[f32], &[f32]), labels: &[f32], rate: f32) {
    let width = w.len() / labels.len().max(1);
    expect_len("w", w.len(), labels.len() * width);
    expect_len("dw", dw.len(), w.len());
    expect_len("dx", dx.len(), x.len());
    assert!(width.is_multiple_of(ROW_LANES), "rows have {width} elements, expected a multiple of {ROW_LANES}");
    if width == 0 || x.is_empty() {
        return dw.fill(0.0);
    }
    assert!(x.len().is_multiple_of(width), "x has {} elements, expected rows of {width}", x.len());
    let pairs = x.len() / width * labels.len();
    let mut scratch = Scratch::take(pairs * (1 + ROW_LANES));
    let (g, sums) = scratch.split_at_mut(pairs);
    step((dx, dw), (x, w), (labels, g, sums), (rate, width));
}

type Pair<'a> = (&'a [f32], &'a [f32]);
type PairMut<'a> = (&'a mut [f32], &'a mut [f32]);

simd_fn! {
    fn step<'a>(
        grads: PairMut<'a>,
        rows: Pair<'a>,
        scratch: (&'a [f32], &'a mut [f32], &'a mut [f32]),
        setting: (f32, usize),
    ) {
        let ((dx, dw), (x, w), (labels, g, sums), (rate, width)) = (grads, rows, scratch, setting);
        let outputs = labels.len();
        for (x, sums) in x.chunks_exact(width).zip(sums.chunks_exact_mut(outputs * ROW_LANES)) {
            products(sums, x, w);
        }
        reduce(g, sums);
        for g in g.chunks_exact_mut(outputs) {
            for (g, label) in g.iter_mut().zip(labels) {
                *g = rate * (label - 1.0 / (1.0 + exp(-*g)));
            }
        }
        for (dx, g) in dx.chunks_exact_mut(width).zip(g.chunks_exact(outputs)) {
            combine(dx, w, g, 1);
        }
        for (j, dw) in dw.chunks_exact_mut(width).enumerate() {
            combine(dw, x, &g[j..], outputs);
        }
    }
}

/// The products `x · w[j]`, each still in lanes: added up in the same loop, the compiler would split the lanes.
#[inline(always)]
fn products(sums: &mut [f32], x: &[f32], w: &[f32]) {
    let (sums, _) = sums.as_chunks_mut::<ROW_LANES>();
    for (sums, w) in sums.iter_mut().zip(w.chunks_exact(x.len())) {
        let ((x, _), (w, _)) = (x.as_chunks::<ROW_LANES>(), w.as_chunks::<ROW_LANES>());
        let mut total = [0.0; ROW_LANES];
        for (x, w) in x.iter().zip(w) {
            for lane in 0..ROW_LANES {
                total[lane] += x[lane] * w[lane];
            }
        }
        *sums = total;
    }
}

/// `g[p] = Σₗ sums[p, l]`, pairwise.
#[inline(always)]
fn reduce(g: &mut [f32], sums: &[f32]) {
    let (sums, _) = sums.as_chunks::<ROW_LANES>();
    for (g, sums) in g.iter_mut().zip(sums) {
        let eight: [f32; 8] = std::array::from_fn(|n| sums[n] + sums[n + 8]);
        let four: [f32; 4] = std::array::from_fn(|n| eight[n] + eight[n + 4]);
        *g = (four[0] + four[2]) + (four[1] + four[3]);
    }
}

/// `sum = Σᵣ factors[r · stride] · rows[r]`.
#[inline(always)]
fn combine(sum: &mut [f32], rows: &[f32], factors: &[f32], stride: usize) {
    let width = sum.len() / ROW_LANES;
    let (sum, _) = sum.as_chunks_mut::<ROW_LANES>();
    let (rows, _) = rows.as_chunks::<ROW_LANES>();
    for (c, sum) in sum.iter_mut().enumerate() {
        let mut total = [0.0; ROW_LANES];
        for (row, factor) in rows[c..].iter().step_by(width).zip(factors.iter().step_by(stride)) {
            for lane in 0..ROW_LANES {
                total[lane] += factor * row[lane];
            }
        }
        *sum = total;
    }
}

/// `table[row] += steps[step]` for each `(row, step)` of `targets`, in order, on this thread alone.
///
/// # Panics
/// If a row or step lies outside.
pub fn add_rows(table: &mut [f32], steps: &[f32], targets: &[(u32, u32)], width: usize) {
    add_each(table, steps, targets, width);
}

simd_fn! {
    fn add_each<'a>(table: &'a mut [f32], steps: &'a [f32], targets: &'a [(u32, u32)], width: usize) {
        for &(row, step) in targets {
            let row = &mut table[row as usize * width..][..width];
            for (x, d) in row.iter_mut().zip(&steps[step as usize * width..][..width]) {
                *x += d;
            }
        }
    }
}
