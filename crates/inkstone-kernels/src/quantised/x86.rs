//! Tiles in the vector instructions of x86-64.
//!
//! A tile is a panel of sixteen outputs times a few rows: each vector of weights is loaded once and multiplied with four inputs of each row.

#![expect(clippy::cast_ptr_alignment, reason = "these loads take any address")]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, __m512, __m512i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_abs_epi8, _mm256_add_epi32,
    _mm256_and_si256, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32, _mm256_cvtph_ps, _mm256_fmadd_ps,
    _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_sign_epi8, _mm256_srli_epi16, _mm256_storeu_ps,
    _mm256_xor_si256, _mm512_and_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32,
    _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_si512, _mm512_mul_ps, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_srli_epi16, _mm512_storeu_ps,
};

use super::activations::{Activations, Group};
use super::packed::{PANEL, PanelLayout, QUAD};
use super::product::MOST;

type Out = [[f32; PANEL]; MOST];

/// What a tile reads of the rows: the integers and groups of the first row, and how far the next row is.
#[derive(Clone, Copy)]
struct Rows {
    integers: *const i8,
    groups: *const Group,
    inputs: usize,
    groups_per_row: usize,
}

impl Rows {
    fn new(x: &Activations, row: usize) -> Self {
        Self {
            integers: x.integers[row * x.inputs..].as_ptr(),
            groups: x.groups[row * x.groups_per_row..].as_ptr(),
            inputs: x.inputs,
            groups_per_row: x.groups_per_row,
        }
    }
}

/// Computes eight, four, two or one of the `left` rows from `row` on, and returns how many.
///
/// # Safety
/// The processor has AVX-512 with VNNI.
pub(super) unsafe fn vnni(
    panel: &[u8],
    layout: &PanelLayout,
    x: &Activations,
    (row, left): (usize, usize),
    out: &mut Out,
) -> usize {
    let rows = Rows::new(x, row);
    macro_rules! tile {
        ($n:literal) => {
            match (layout.nibble, layout.group) {
                (true, 32) => vnni_tile::<$n, true, 8>(panel, layout, rows, out),
                (true, _) => vnni_tile::<$n, true, 4>(panel, layout, rows, out),
                (false, 32) => vnni_tile::<$n, false, 8>(panel, layout, rows, out),
                (false, _) => vnni_tile::<$n, false, 4>(panel, layout, rows, out),
            }
        };
    }
    // SAFETY: the caller has seen to the instructions; there are as many rows as the tile takes.
    unsafe {
        match left {
            8.. => (tile!(8), 8).1,
            4.. => (tile!(4), 4).1,
            2.. => (tile!(2), 2).1,
            _ => (tile!(1), 1).1,
        }
    }
}

/// # Safety
/// The processor has AVX-512 with VNNI; there are `R` rows; `QUADS` quads are a group.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn vnni_tile<const R: usize, const NIBBLE: bool, const QUADS: usize>(
    panel: &[u8],
    layout: &PanelLayout,
    mut x: Rows,
    out: &mut Out,
) {
    let mut totals = [_mm512_setzero_ps(); R];
    for block in panel.chunks_exact(layout.bytes) {
        // SAFETY: a block has the parts that its layout says; the rows have a group for each group of the panel.
        unsafe {
            let block = block.as_ptr();
            let mut integers = block.add(layout.integers_at);
            for g in 0..layout.groups {
                let (scale, offset) = vnni_scales(block, layout, g);
                let sums = vnni_sums::<R, NIBBLE, QUADS>(integers, x);
                for r in 0..R {
                    let group = &*x.groups.add(r * x.groups_per_row);
                    let factor = _mm512_mul_ps(scale, _mm512_set1_ps(group.scale));
                    totals[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[r]), factor, totals[r]);
                    if layout.affine {
                        totals[r] = _mm512_fmadd_ps(offset, _mm512_set1_ps(group.sum), totals[r]);
                    }
                }
                integers = integers.add(layout.integers_bytes);
                x.groups = x.groups.add(1);
                x.integers = x.integers.add(QUADS * QUAD);
            }
        }
    }
    for (out, total) in out.iter_mut().zip(totals) {
        // SAFETY: a row of the tile has sixteen results.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), total) };
    }
}

/// Scale and offset of each output in group `g`.
///
/// # Safety
/// As [`vnni_tile`]; `block` has the parts that `layout` says.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn vnni_scales(block: *const u8, layout: &PanelLayout, g: usize) -> (__m512, __m512) {
    // SAFETY: the caller's promise.
    unsafe {
        let halves = |n: usize| _mm512_cvtph_ps(_mm256_loadu_si256(block.add(n * PANEL * 2).cast::<__m256i>()));
        let (mut scale, mut offset) = (halves(0), _mm512_setzero_ps());
        if layout.affine {
            offset = halves(1);
        }
        if layout.factors {
            let factors = block.add(layout.factors_at + g * layout.factors_bytes);
            let signed = _mm512_cvtepi8_epi32(_mm_loadu_si128(factors.cast::<__m128i>()));
            scale = _mm512_mul_ps(scale, _mm512_cvtepi32_ps(signed));
            if layout.affine {
                let unsigned = _mm512_cvtepu8_epi32(_mm_loadu_si128(factors.add(PANEL).cast::<__m128i>()));
                offset = _mm512_mul_ps(offset, _mm512_cvtepi32_ps(unsigned));
            }
        }
        (scale, offset)
    }
}

/// `start + Σ u·q` of each output and row.
///
/// # Safety
/// As [`vnni_tile`]; `integers` are those of a group.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
#[inline]
unsafe fn vnni_sums<const R: usize, const NIBBLE: bool, const QUADS: usize>(
    integers: *const u8,
    x: Rows,
) -> [__m512i; R] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [_mm512_set1_epi32(0); R];
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = _mm512_set1_epi32((*x.groups.add(r * x.groups_per_row)).start);
        }
        let low = _mm512_set1_epi8(15);
        let load = |n: usize| _mm512_loadu_si512(integers.add(n * PANEL * QUAD).cast());
        for quad in 0..QUADS {
            let w = match (NIBBLE, quad % 2) {
                (false, _) => load(quad),
                (true, 0) => _mm512_and_si512(load(quad / 2), low),
                (true, _) => _mm512_and_si512(_mm512_srli_epi16::<4>(load(quad / 2)), low),
            };
            for (r, sum) in sums.iter_mut().enumerate() {
                let q = x.integers.add(r * x.inputs + quad * QUAD).cast::<i32>().read_unaligned();
                *sum = _mm512_dpbusd_epi32(*sum, w, _mm512_set1_epi32(q));
            }
        }
        sums
    }
}

/// Computes four, two or one of the `left` rows from `row` on, and returns how many.
///
/// # Safety
/// The processor has AVX2, FMA and F16C.
pub(super) unsafe fn avx2(
    panel: &[u8],
    layout: &PanelLayout,
    x: &Activations,
    (row, left): (usize, usize),
    out: &mut Out,
) -> usize {
    let rows = Rows::new(x, row);
    // SAFETY: the caller has seen to the instructions; there are as many rows as the tile takes.
    unsafe {
        match left {
            4.. => (avx2_halves::<4>(panel, layout, rows, out), 4).1,
            2.. => (avx2_halves::<2>(panel, layout, rows, out), 2).1,
            _ => (avx2_halves::<1>(panel, layout, rows, out), 1).1,
        }
    }
}

/// Both halves of a panel, eight outputs each.
///
/// # Safety
/// As [`avx2_tile`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2_halves<const R: usize>(panel: &[u8], layout: &PanelLayout, x: Rows, out: &mut Out) {
    // SAFETY: the caller's promise.
    unsafe {
        for half in 0..2 {
            if layout.nibble {
                avx2_tile::<R, true>(panel, layout, x, (half, out));
            } else {
                avx2_tile::<R, false>(panel, layout, x, (half, out));
            }
        }
    }
}

/// # Safety
/// The processor has AVX2, FMA and F16C; there are `R` rows.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn avx2_tile<const R: usize, const NIBBLE: bool>(
    panel: &[u8],
    layout: &PanelLayout,
    mut x: Rows,
    (half, out): (usize, &mut Out),
) {
    let mut totals = [_mm256_setzero_ps(); R];
    for block in panel.chunks_exact(layout.bytes) {
        // SAFETY: a block has the parts that its layout says; the rows have a group for each group of the panel.
        unsafe {
            let block = block.as_ptr();
            let mut integers = block.add(layout.integers_at + half * 32);
            for g in 0..layout.groups {
                let (scale, offset) = avx2_scales(block, layout, (g, half));
                let sums = avx2_sums::<R, NIBBLE>(integers, x, layout);
                for r in 0..R {
                    let group = &*x.groups.add(r * x.groups_per_row);
                    let factor = _mm256_mul_ps(scale, _mm256_set1_ps(group.scale));
                    totals[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[r]), factor, totals[r]);
                    if layout.affine {
                        totals[r] = _mm256_fmadd_ps(offset, _mm256_set1_ps(group.sum), totals[r]);
                    }
                }
                integers = integers.add(layout.integers_bytes);
                x.groups = x.groups.add(1);
                x.integers = x.integers.add(layout.group);
            }
        }
    }
    for (out, total) in out.iter_mut().zip(totals) {
        // SAFETY: half a row of the tile has eight results.
        unsafe { _mm256_storeu_ps(out[half * 8..].as_mut_ptr(), total) };
    }
}

/// Scale and offset of each of eight outputs in group `g`.
///
/// # Safety
/// As [`avx2_tile`]; `block` has the parts that `layout` says.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn avx2_scales(block: *const u8, layout: &PanelLayout, (g, half): (usize, usize)) -> (__m256, __m256) {
    // SAFETY: the caller's promise.
    unsafe {
        let halves =
            |n: usize| _mm256_cvtph_ps(_mm_loadu_si128(block.add(n * PANEL * 2 + half * 16).cast::<__m128i>()));
        let (mut scale, mut offset) = (halves(0), _mm256_setzero_ps());
        if layout.affine {
            offset = halves(1);
        }
        if layout.factors {
            let factors = block.add(layout.factors_at + g * layout.factors_bytes + half * 8);
            let signed = _mm256_cvtepi8_epi32(_mm_loadl_epi64(factors.cast::<__m128i>()));
            scale = _mm256_mul_ps(scale, _mm256_cvtepi32_ps(signed));
            if layout.affine {
                let unsigned = _mm256_cvtepu8_epi32(_mm_loadl_epi64(factors.add(PANEL).cast::<__m128i>()));
                offset = _mm256_mul_ps(offset, _mm256_cvtepi32_ps(unsigned));
            }
        }
        (scale, offset)
    }
}

/// `start + Σ u·q` of each output and row.
///
/// The products of bytes are added in pairs in 16 bits, which 255 · 127 · 2 would overflow; so where zero is 128 the weights are taken with their
/// sign (`u − 128`, and no start): 128 · 127 · 2 fits.
///
/// # Safety
/// As [`avx2_tile`]; `integers` are those of a group.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
unsafe fn avx2_sums<const R: usize, const NIBBLE: bool>(
    integers: *const u8,
    x: Rows,
    layout: &PanelLayout,
) -> [__m256i; R] {
    let signed = layout.zero == 128;
    let (low, ones, flip) = (_mm256_set1_epi8(15), _mm256_set1_epi16(1), _mm256_set1_epi8(-128));
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [_mm256_set1_epi32(0); R];
        for (r, sum) in sums.iter_mut().enumerate() {
            let start = if signed { 0 } else { (*x.groups.add(r * x.groups_per_row)).start };
            *sum = _mm256_set1_epi32(start);
        }
        let load = |n: usize| _mm256_loadu_si256(integers.add(n * PANEL * QUAD).cast::<__m256i>());
        for quad in 0..layout.group / QUAD {
            let w = match (NIBBLE, quad % 2) {
                (false, _) => load(quad),
                (true, 0) => _mm256_and_si256(load(quad / 2), low),
                (true, _) => _mm256_and_si256(_mm256_srli_epi16::<4>(load(quad / 2)), low),
            };
            let w = if signed { _mm256_xor_si256(w, flip) } else { w };
            for (r, sum) in sums.iter_mut().enumerate() {
                let q = x.integers.add(r * x.inputs + quad * QUAD).cast::<i32>().read_unaligned();
                let q = _mm256_set1_epi32(q);
                let (w, q) = if signed { (_mm256_abs_epi8(w), _mm256_sign_epi8(q, w)) } else { (w, q) };
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, q), ones));
            }
        }
        sums
    }
}
