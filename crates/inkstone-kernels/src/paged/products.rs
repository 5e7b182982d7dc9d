//! The innermost products: a few rows times the vectors of a block.

#[cfg(target_arch = "x86_64")]
use super::x86;
#[cfg(target_arch = "x86_64")]
use crate::isa::{Isa, isa};

/// Lanes of a vector: positions of a block, or numbers of a value.
pub(super) const LANES: usize = 16;
/// Vectors, and rows, whose sums are held in registers together.
pub(super) const SIDE: usize = 4;

/// Rows that begin `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) stride: usize,
}

/// Where sums are: vector `c` of row `r` is at `at + r · stride + c · LANES`.
pub(super) struct Sums<'a> {
    pub(super) numbers: &'a mut [f32],
    pub(super) at: usize,
    pub(super) stride: usize,
    pub(super) rows: usize,
}

/// Adds `Σₖ a[r, k] · b[c][k, lane]` for `k < depth` to the sums, each in the order of `k`.
///
/// # Panics
/// If something is shorter than that.
pub(super) fn add_products(sums: &mut Sums<'_>, a: Lines<'_>, b: &[Lines<'_>], depth: usize) {
    let Sums { at, stride, rows, .. } = *sums;
    let (Some(first), 1.., 1..) = (b.first(), rows, depth) else { return };
    assert!(at + (rows - 1) * stride + b.len() * LANES <= sums.numbers.len(), "sums are short");
    assert!((rows - 1) * a.stride + depth <= a.numbers.len(), "rows are short");
    for b in b {
        assert!(b.stride == first.stride, "vectors of one kind");
        assert!((depth - 1) * b.stride + LANES <= b.numbers.len(), "a block is short");
    }
    match () {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the path was chosen for this processor; the lengths were just looked at.
        () if isa() >= Isa::Avx512 => unsafe { x86::avx512(sums, a, b, depth) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        () if isa() == Isa::Avx2 => unsafe { x86::avx2(sums, a, b, depth) },
        () => portable(sums, a, b, depth),
    }
}

fn portable(sums: &mut Sums<'_>, a: Lines<'_>, b: &[Lines<'_>], depth: usize) {
    for row in 0..sums.rows {
        let a = &a.numbers[row * a.stride..][..depth];
        let line = &mut sums.numbers[sums.at + row * sums.stride..];
        for (sums, b) in line.as_chunks_mut::<LANES>().0.iter_mut().zip(b) {
            for (a, b) in a.iter().zip(b.numbers.chunks(b.stride)) {
                for lane in 0..LANES {
                    sums[lane] += a * b[lane];
                }
            }
        }
    }
}
