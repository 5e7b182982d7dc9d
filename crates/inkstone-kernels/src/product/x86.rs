//! Tiles in the vector instructions of x86-64.

use std::arch::x86_64::{
    __m256, __m256bh, __m256i, __m512, __m512bh, __m512i, _mm256_add_ps, _mm256_cvtss_f32, _mm256_fmadd_ps,
    _mm256_loadu_ps, _mm256_loadu_si256, _mm256_set1_ps, _mm256_setzero_ps, _mm256_storeu_ps, _mm256_storeu_si256,
    _mm512_add_ps, _mm512_alignr_epi32, _mm512_castsi512_ps, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh,
    _mm512_cvtneps_pbh, _mm512_cvtss_f32, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512,
    _mm512_mask_storeu_epi32, _mm512_maskz_loadu_epi16, _mm512_maskz_loadu_ps, _mm512_permutex2var_epi16,
    _mm512_permutexvar_epi16, _mm512_set1_ps, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

use super::STEPS;
use super::pack::Part;
use super::tile::{Element, Runs, Tile};
use crate::number::Number;

/// 24 of the 32 registers hold sums.
pub(super) const AVX512: Tile = Tile {
    rows: 12,
    columns: 32,
    element: Element::Single,
    single: Runs { straight: avx512::<false>, turned: avx512::<true> },
    half: None,
};

/// As [`AVX512`], two products a lane and instruction.
pub(super) const AVX512_BF16: Tile = Tile {
    rows: 12,
    columns: 32,
    element: Element::Pair,
    single: Runs { straight: avx512_bf16::<false>, turned: avx512_bf16::<true> },
    half: Some(Runs { straight: avx512_bf16_half::<false>, turned: avx512_bf16_half::<true> }),
};

/// 12 of the 16 registers hold sums.
pub(super) const AVX2: Tile = Tile {
    rows: 6,
    columns: 16,
    element: Element::Single,
    single: Runs { straight: avx2::<false>, turned: avx2::<true> },
    half: None,
};

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

/// `to[n] = (low[n], high[n])` as pairs of bfloat16; all three have one length.
///
/// # Safety
/// The processor has AVX-512F, AVX-512BW and AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn join_levels<N: Number>(to: &mut [u32], low: &[N], high: &[N]) {
    for (to, (low, high)) in to.chunks_mut(16).zip(low.chunks(16).zip(high.chunks(16))) {
        let mask = u16::MAX >> (16 - to.len());
        // SAFETY: the mask keeps to the chunks.
        unsafe {
            let joined = pairs(low.as_ptr(), high.as_ptr(), mask);
            _mm512_mask_storeu_epi32(to.as_mut_ptr().cast(), mask, joined);
        }
    }
}

/// The levels of a part of 32 lanes, by twos: `to[step][32]`.
///
/// # Safety
/// As for [`join_levels`]; the part lies inside a live slice of `N`, its lanes are adjacent, its depth even.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn wide_levels<N: Number>(to: &mut [u32], part: &Part) {
    for (step, to) in to.as_chunks_mut::<32>().0.iter_mut().take(part.depth / 2).enumerate() {
        // SAFETY: the part has both levels, of 32 lanes.
        unsafe {
            let (low, high) = (part.level::<N>(2 * step).as_ptr(), part.level::<N>(2 * step + 1).as_ptr());
            for half in [0, 16] {
                let joined = pairs(low.add(half), high.add(half), u16::MAX);
                _mm512_storeu_si512(to.as_mut_ptr().add(half).cast(), joined);
            }
        }
    }
}

/// The levels of a part of 48 lanes, by twos, in four panels of twelve: `to[n][step][12]`.
///
/// # Safety
/// As for [`wide_levels`], with 48 lanes.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(super) unsafe fn group_levels<N: Number>(to: [&mut [u32]; 4], part: &Part) {
    const TWELVE: u16 = 0xfff;
    let [a, b, c, d] = to.map(|to| to.as_chunks_mut::<12>().0.iter_mut());
    for (step, (((a, b), c), d)) in a.zip(b).zip(c).zip(d).take(part.depth / 2).enumerate() {
        // SAFETY: the part has both levels, of 48 lanes.
        unsafe {
            let (low, high) = (part.level::<N>(2 * step).as_ptr(), part.level::<N>(2 * step + 1).as_ptr());
            let [x, y, z] = [0, 16, 32].map(|lane| pairs(low.add(lane), high.add(lane), u16::MAX));
            _mm512_mask_storeu_epi32(a.as_mut_ptr().cast(), TWELVE, x);
            _mm512_mask_storeu_epi32(b.as_mut_ptr().cast(), TWELVE, _mm512_alignr_epi32::<12>(y, x));
            _mm512_mask_storeu_epi32(c.as_mut_ptr().cast(), TWELVE, _mm512_alignr_epi32::<8>(z, y));
            _mm512_mask_storeu_epi32(d.as_mut_ptr().cast(), TWELVE, _mm512_alignr_epi32::<4>(z, z));
        }
    }
}

/// Sixteen pairs of bfloat16 `(low[n], high[n])`, zero where the mask has no bit.
///
/// # Safety
/// As for [`join_levels`]; both hold an element for each bit of the mask.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn pairs<N: Number>(low: *const N, high: *const N, mask: u16) -> __m512i {
    // SAFETY: the caller's promise, and `N` says what an element is; registers have no invalid content.
    unsafe {
        if N::HALF {
            let [low, high] = [low, high].map(|x| _mm512_maskz_loadu_epi16(u32::from(mask), x.cast()));
            let order = std::mem::transmute::<[u16; 32], __m512i>(const { by_turns(32) });
            _mm512_permutex2var_epi16(low, order, high)
        } else {
            let [low, high] = [low, high].map(|x| _mm512_maskz_loadu_ps(mask, x.cast()));
            let halves = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            let order = std::mem::transmute::<[u16; 32], __m512i>(const { by_turns(16) });
            _mm512_permutexvar_epi16(order, halves)
        }
    }
}

/// Places of a first half and of a second that begins `apart` places later, by turns.
const fn by_turns(apart: u16) -> [u16; 32] {
    let mut order = [0; 32];
    let mut n = 0;
    while n < 16 {
        (order[2 * n], order[2 * n + 1]) = (n as u16, n as u16 + apart);
        n += 1;
    }
    order
}

/// Swaps rows and columns.
///
/// # Safety
/// The processor has AVX-512F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn transpose(square: &mut [[u32; 16]; 16]) {
    let mut rows = [_mm512_setzero_si512(); 16];
    for (row, from) in rows.iter_mut().zip(square.iter()) {
        // SAFETY: a row holds 16 integers.
        *row = unsafe { _mm512_loadu_si512(from.as_ptr().cast()) };
    }
    // Blocks of four by four within each quarter of a register, then the quarters.
    let mut blocks = [_mm512_setzero_si512(); 16];
    for (to, from) in blocks.as_chunks_mut::<4>().0.iter_mut().zip(rows.as_chunks::<4>().0) {
        let (low0, high0) = (_mm512_unpacklo_epi32(from[0], from[1]), _mm512_unpackhi_epi32(from[0], from[1]));
        let (low1, high1) = (_mm512_unpacklo_epi32(from[2], from[3]), _mm512_unpackhi_epi32(from[2], from[3]));
        *to = [
            _mm512_unpacklo_epi64(low0, low1),
            _mm512_unpackhi_epi64(low0, low1),
            _mm512_unpacklo_epi64(high0, high1),
            _mm512_unpackhi_epi64(high0, high1),
        ];
    }
    for k in 0..4 {
        let [a, b, c, d] = [blocks[k], blocks[4 + k], blocks[8 + k], blocks[12 + k]];
        let (even0, even1) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0x88>(c, d));
        let (odd0, odd1) = (_mm512_shuffle_i32x4::<0xdd>(a, b), _mm512_shuffle_i32x4::<0xdd>(c, d));
        let columns = [
            (k, _mm512_shuffle_i32x4::<0x88>(even0, even1)),
            (4 + k, _mm512_shuffle_i32x4::<0x88>(odd0, odd1)),
            (8 + k, _mm512_shuffle_i32x4::<0xdd>(even0, even1)),
            (12 + k, _mm512_shuffle_i32x4::<0xdd>(odd0, odd1)),
        ];
        for (n, column) in columns {
            // SAFETY: a row holds 16 integers.
            unsafe { _mm512_storeu_si512(square[n].as_mut_ptr().cast(), column) };
        }
    }
}

/// `to[n] = (from[2n], from[2n + 1])` as pairs of bfloat16; the length is a multiple of 16.
///
/// # Safety
/// The processor has AVX-512F and AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn join_neighbours<N: Number>(to: &mut [u32], from: &[N]) {
    debug_assert!(!N::HALF, "pairs of bfloat16 are copied");
    for (to, from) in to.as_chunks_mut::<16>().0.iter_mut().zip(from.as_chunks::<32>().0) {
        // SAFETY: a chunk of `from` holds 32 f32; 512 bits of bfloat16 are 512 bits of integers.
        unsafe {
            let from = from.as_ptr().cast::<f32>();
            let (low, high) = (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(16)));
            let pairs = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
            _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs);
        }
    }
}

/// Where element (row, step) of a panel of `a` lies.
#[inline(always)]
const fn place<const TURNED: bool>(rows: usize, row: usize, step: usize) -> usize {
    if TURNED { step * rows + row } else { row * STEPS + step }
}

/// A tile's function of `$rows` rows and two vectors of `$lanes`; `$step` multiplies one element of `a` with both and adds to the row's sums, which `$get`
/// and `$put` move from and to `$number`s. A macro, because the sums stay in registers only where nothing takes their address, and
/// a function of certain instructions is not always inlined.
macro_rules! tile {
    (
        $name:ident, $features:literal, $rows:literal, $lanes:literal, $zero:ident, $load:ident, $add:ident,
        $number:ty, $get:ident, $put:ident, $step:expr
    ) => {
        /// # Safety
        /// As [`super::tile::Run`] says; the processor has the instructions.
        #[target_feature(enable = $features)]
        #[expect(clippy::cast_ptr_alignment, reason = "the output is a slice of these numbers")]
        unsafe fn $name<const TURNED: bool>(
            a: *const u32,
            b: *const u32,
            steps: usize,
            out: *mut u8,
            stride: usize,
            add: bool,
        ) {
            let out = out.cast::<$number>();
            let mut sums = [[$zero(); 2]; $rows];
            for step in 0..steps {
                // SAFETY: the panels hold `steps`.
                unsafe {
                    let b = b.add(step * 2 * $lanes).cast::<f32>();
                    let b = [$load(b), $load(b.add($lanes))];
                    for (row, sum) in sums.iter_mut().enumerate() {
                        *sum = $step(*a.add(place::<TURNED>($rows, row, step)), b, *sum);
                    }
                }
            }
            for (row, &[left, right]) in sums.iter().enumerate() {
                // SAFETY: the caller lends the rows.
                unsafe {
                    let (low, high) = (out.add(row * stride), out.add(row * stride + $lanes));
                    if add {
                        $put(low, $add($get(low), left));
                        $put(high, $add($get(high), right));
                    } else {
                        $put(low, left);
                        $put(high, right);
                    }
                }
            }
        }
    };
}

/// Sixteen bfloat16.
///
/// # Safety
/// They lie in a live slice; the processor has AVX-512F.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn get_half(from: *const u16) -> __m512 {
    // SAFETY: the caller's promise.
    let narrow = unsafe { _mm256_loadu_si256(from.cast()) };
    _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(narrow)))
}

/// Writes sixteen bfloat16, rounded to the nearest, ties to even.
///
/// # Safety
/// There is room for them; the processor has AVX-512F and AVX512-BF16.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn put_half(to: *mut u16, sums: __m512) {
    // SAFETY: the caller's promise; 256 bits of bfloat16 are 256 bits of integers.
    unsafe { _mm256_storeu_si256(to.cast(), std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(sums))) };
}

tile!(
    avx512,
    "avx512f",
    12,
    16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_add_ps,
    f32,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    |a: u32, b: [__m512; 2], sum: [__m512; 2]| {
        let a = _mm512_set1_ps(f32::from_bits(a));
        [_mm512_fmadd_ps(a, b[0], sum[0]), _mm512_fmadd_ps(a, b[1], sum[1])]
    }
);

/// Tiles of dot products in bfloat16.
macro_rules! dot_products {
    ($name:ident, $number:ty, $get:ident, $put:ident) => {
        tile!(
            $name,
            "avx512f,avx512bf16",
            12,
            16,
            _mm512_setzero_ps,
            _mm512_loadu_ps,
            _mm512_add_ps,
            $number,
            $get,
            $put,
            |a: u32, b: [__m512; 2], sum: [__m512; 2]| {
                // Registers of 512 bits have no invalid content.
                let pairs = |x: __m512| std::mem::transmute::<__m512, __m512bh>(x);
                let a = pairs(_mm512_set1_ps(f32::from_bits(a)));
                [_mm512_dpbf16_ps(sum[0], a, pairs(b[0])), _mm512_dpbf16_ps(sum[1], a, pairs(b[1]))]
            }
        );
    };
}

dot_products!(avx512_bf16, f32, _mm512_loadu_ps, _mm512_storeu_ps);
dot_products!(avx512_bf16_half, u16, get_half, put_half);

tile!(
    avx2,
    "avx2,fma",
    6,
    8,
    _mm256_setzero_ps,
    _mm256_loadu_ps,
    _mm256_add_ps,
    f32,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    |a: u32, b: [__m256; 2], sum: [__m256; 2]| {
        let a = _mm256_set1_ps(f32::from_bits(a));
        [_mm256_fmadd_ps(a, b[0], sum[0]), _mm256_fmadd_ps(a, b[1], sum[1])]
    }
);
