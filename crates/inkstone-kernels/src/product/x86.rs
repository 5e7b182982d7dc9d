//! Tiles in the vector instructions of x86-64.

use std::arch::x86_64::{
    __m256, __m512, __m512bh, _mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_storeu_ps, _mm512_add_ps, _mm512_cvtss_f32, _mm512_dpbf16_ps, _mm512_fmadd_ps,
    _mm512_loadu_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::STEPS;
use super::tile::{Element, Tile};

/// 24 of the 32 registers hold sums.
pub(super) const AVX512: Tile =
    Tile { rows: 12, columns: 32, element: Element::Single, straight: avx512::<false>, turned: avx512::<true> };

/// As [`AVX512`], two products a lane and instruction.
pub(super) const AVX512_BF16: Tile =
    Tile { rows: 12, columns: 32, element: Element::Pair, straight: avx512_bf16::<false>, turned: avx512_bf16::<true> };

/// 12 of the 16 registers hold sums.
pub(super) const AVX2: Tile =
    Tile { rows: 6, columns: 16, element: Element::Single, straight: avx2::<false>, turned: avx2::<true> };

/// Multiplications and additions in registers alone, `rounds` times 24 instructions: what no product can exceed.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn avx512_roof(rounds: usize, seed: f32) -> f32 {
    let (a, b) = (_mm512_set1_ps(seed), _mm512_set1_ps(0.5));
    let mut sums = [_mm512_set1_ps(seed); 12];
    for _ in 0..rounds {
        for _ in 0..2 {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(a, b, *sum);
            }
        }
    }
    sums.iter().map(|&sum| _mm512_cvtss_f32(sum)).sum()
}

/// As [`avx512_roof`], in dot products of bfloat16.
///
/// # Safety
/// The processor has AVX-512F and AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn avx512_bf16_roof(rounds: usize, seed: f32) -> f32 {
    let mut sums = [_mm512_set1_ps(seed); 12];
    // SAFETY: registers of 512 bits have no invalid content.
    let (a, b) = unsafe {
        let register = |x| std::mem::transmute::<__m512, __m512bh>(_mm512_set1_ps(x));
        (register(seed), register(0.5))
    };
    for _ in 0..rounds {
        for _ in 0..2 {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, a, b);
            }
        }
    }
    sums.iter().map(|&sum| _mm512_cvtss_f32(sum)).sum()
}

/// As [`avx512_roof`], in vectors of eight.
///
/// # Safety
/// The processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn avx2_roof(rounds: usize, seed: f32) -> f32 {
    let (a, b) = (_mm256_set1_ps(seed), _mm256_set1_ps(0.5));
    let mut sums = [_mm256_set1_ps(seed); 12];
    for _ in 0..rounds {
        for _ in 0..2 {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(a, b, *sum);
            }
        }
    }
    sums.iter().map(|&sum| _mm256_cvtss_f32(sum)).sum()
}

/// Where element (row, step) of a panel of `a` lies.
#[inline(always)]
const fn place<const TURNED: bool>(rows: usize, row: usize, step: usize) -> usize {
    if TURNED { step * rows + row } else { row * STEPS + step }
}

/// # Safety
/// As [`super::tile::Run`] says; the processor has AVX-512F.
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const TURNED: bool>(
    a: *const u32,
    b: *const u32,
    steps: usize,
    out: *mut f32,
    stride: usize,
    add: bool,
) {
    let mut sums = [[_mm512_setzero_ps(); 2]; 12];
    for step in 0..steps {
        // SAFETY: the panels hold `steps`.
        unsafe {
            let b = b.add(step * 32).cast::<f32>();
            let b = [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))];
            for (row, sum) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_ps(f32::from_bits(*a.add(place::<TURNED>(12, row, step))));
                *sum = [_mm512_fmadd_ps(a, b[0], sum[0]), _mm512_fmadd_ps(a, b[1], sum[1])];
            }
        }
    }
    // SAFETY: the caller lends 12 rows of 32.
    unsafe { store512(&sums, out, stride, add) };
}

/// # Safety
/// As [`super::tile::Run`] says; the processor has AVX-512F and AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn avx512_bf16<const TURNED: bool>(
    a: *const u32,
    b: *const u32,
    steps: usize,
    out: *mut f32,
    stride: usize,
    add: bool,
) {
    let mut sums = [[_mm512_setzero_ps(); 2]; 12];
    for step in 0..steps {
        // SAFETY: the panels hold `steps`; registers of 512 bits have no invalid content.
        unsafe {
            let b = b.add(step * 32).cast::<f32>();
            let b =
                [_mm512_loadu_ps(b), _mm512_loadu_ps(b.add(16))].map(|b| std::mem::transmute::<__m512, __m512bh>(b));
            for (row, sum) in sums.iter_mut().enumerate() {
                let a = _mm512_set1_epi32(*a.add(place::<TURNED>(12, row, step)) as i32);
                let a = std::mem::transmute::<std::arch::x86_64::__m512i, __m512bh>(a);
                *sum = [_mm512_dpbf16_ps(sum[0], a, b[0]), _mm512_dpbf16_ps(sum[1], a, b[1])];
            }
        }
    }
    // SAFETY: the caller lends 12 rows of 32.
    unsafe { store512(&sums, out, stride, add) };
}

/// # Safety
/// `out` is valid for 12 rows of 32.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store512(sums: &[[__m512; 2]; 12], out: *mut f32, stride: usize, add: bool) {
    for (row, sum) in sums.iter().enumerate() {
        for (half, &sum) in sum.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let out = out.add(row * stride + half * 16);
                let sum = if add { _mm512_add_ps(_mm512_loadu_ps(out), sum) } else { sum };
                _mm512_storeu_ps(out, sum);
            }
        }
    }
}

/// # Safety
/// As [`super::tile::Run`] says; the processor has AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const TURNED: bool>(
    a: *const u32,
    b: *const u32,
    steps: usize,
    out: *mut f32,
    stride: usize,
    add: bool,
) {
    let mut sums = [[_mm256_setzero_ps(); 2]; 6];
    for step in 0..steps {
        // SAFETY: the panels hold `steps`.
        unsafe {
            let b = b.add(step * 16).cast::<f32>();
            let b: [__m256; 2] = [_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8))];
            for (row, sum) in sums.iter_mut().enumerate() {
                let a = _mm256_set1_ps(f32::from_bits(*a.add(place::<TURNED>(6, row, step))));
                *sum = [_mm256_fmadd_ps(a, b[0], sum[0]), _mm256_fmadd_ps(a, b[1], sum[1])];
            }
        }
    }
    for (row, sum) in sums.iter().enumerate() {
        for (half, &sum) in sum.iter().enumerate() {
            // SAFETY: the caller lends 6 rows of 16.
            unsafe {
                let out = out.add(row * stride + half * 8);
                let sum = if add { _mm256_add_ps(_mm256_loadu_ps(out), sum) } else { sum };
                _mm256_storeu_ps(out, sum);
            }
        }
    }
}
