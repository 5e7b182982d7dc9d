//! Tiles in the vector instructions of x86-64.
//!
//! A tile is two vectors of outputs times a few rows, whose integer sums stay in registers over a group: each vector of weights is loaded once
//! and multiplied with four inputs of each row. With AVX-512 the two vectors are two panels, with AVX2 the halves of one.

#![expect(clippy::cast_ptr_alignment, reason = "these loads take any address")]

use std::arch::x86_64::{
    __m128i, __m256, __m256i, __m512, __m512bh, __m512i, _MM_HINT_NTA, _mm_loadl_epi64, _mm_loadu_si128, _mm_prefetch,
    _mm256_abs_epi8, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_ps, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps,
    _mm256_cvtepu8_epi32, _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps,
    _mm256_setzero_ps, _mm256_sign_epi8, _mm256_slli_epi32, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_xor_si256,
    _mm512_and_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32, _mm512_cvtph_ps,
    _mm512_dpbf16_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_srli_epi16, _mm512_storeu_ps,
};

use super::activations::{GROUP_EXTRA, RowTile};
use super::packed::{PAIRS, PANEL, PanelLayout, QUAD};
use super::product::{Out, SIDE, TALLEST};

/// Rows up to which a tile is bound by reading the weights. Nibbles, which are read slowest, are asked for ahead, past the caches that they would only
/// fill; longer streams the processor foresees by itself.
const FEW: usize = 4;
/// How far ahead, in bytes.
const AHEAD: usize = 2048;

/// Calls the tile of the height of `rows` and the kind of the weights' groups.
macro_rules! call {
    ($tile:ident, [$($height:literal)+], $signed:expr, $layout:expr, $rows:expr, $arguments:tt) => {
        match $rows.height {
            $($height => call!(@ $tile, $height, $signed, $layout, $arguments),)+
            _ => unreachable!("invariant: rows stand in tiles that the path knows"),
        }
    };
    (@ $tile:ident, $height:literal, $signed:expr, $layout:expr, $arguments:tt) => {
        match ($layout.nibble, $layout.affine, $layout.group / QUAD) {
            (true, false, 8) => call!(# $tile::<$height, true, false, false, 8>, $arguments),
            (true, true, 8) => call!(# $tile::<$height, true, true, false, 8>, $arguments),
            (true, false, _) => call!(# $tile::<$height, true, false, false, 4>, $arguments),
            (true, true, _) => call!(# $tile::<$height, true, true, false, 4>, $arguments),
            (false, true, _) => call!(# $tile::<$height, false, true, false, 8>, $arguments),
            (false, false, 8) if $signed => call!(# $tile::<$height, false, false, true, 8>, $arguments),
            (false, false, 8) => call!(# $tile::<$height, false, false, false, 8>, $arguments),
            (false, false, _) => call!(# $tile::<$height, false, false, false, 4>, $arguments),
        }
    };
    (# $tile:expr, ($columns:expr, $layout:expr, $x:expr, $out:expr)) => { $tile($columns, $layout, $x, $out) };
}

/// Defines a tile over vectors of `lanes` outputs. A macro, because the sums stay in registers only where nothing takes their address, and a
/// function of certain instructions is not always inlined.
///
/// Of the weights, `load` takes a vector of integers, `halves` half-precision numbers, `signed` and `unsigned` bytes; `dot` adds the products of four
/// bytes in each lane to its sum.
macro_rules! tile {
    ($name:ident, $scales:ident, $features:literal, $lanes:literal, $integers:ident, $floats:ident, $load:expr, $and:ident, $shift:ident, $low:ident,
     $spread:ident, $spread_float:ident, $load_floats:ident, $store_floats:ident, $to_floats:ident, $mul:ident, $fma:ident,
     $halves:expr, $signed:expr, $unsigned:expr, $dot:expr) => {
        /// Scale and offset of each output in group `g` of the block at `start`, from `lane` on.
        ///
        /// # Safety
        /// The processor has the instructions; the block has the parts that `layout` says.
        #[target_feature(enable = $features)]
        #[inline]
        unsafe fn $scales<const AFFINE: bool>(
            start: *const u8,
            layout: &PanelLayout,
            g: usize,
            lane: usize,
        ) -> ($floats, $floats) {
            // SAFETY: the caller's promise.
            unsafe {
                let factors = start.add(layout.factors_at + g * layout.factors_bytes + lane);
                let mut scale: $floats = $halves(start.add(lane * 2));
                let mut offset = if AFFINE { $halves(start.add((PANEL + lane) * 2)) } else { scale };
                if layout.factors {
                    scale = $mul(scale, $to_floats($signed(factors)));
                    if AFFINE {
                        offset = $mul(offset, $to_floats($unsigned(factors.add(PANEL))));
                    }
                }
                (scale, offset)
            }
        }

        /// # Safety
        /// The processor has the instructions. Each column is a whole panel of `layout`, moved to the first of its lanes; `x` is a tile of
        /// `R` rows as wide as the panels.
        #[target_feature(enable = $features)]
        unsafe fn $name<
            const R: usize,
            const NIBBLE: bool,
            const AFFINE: bool,
            const SIGNED: bool,
            const QUADS: usize,
        >(
            (panels, lanes): ([&[u8]; SIDE], [usize; SIDE]),
            layout: &PanelLayout,
            mut x: *const u32,
            out: &mut Out,
        ) {
            let (low, mut totals) = ($low(15), [[$spread_float(0.0); SIDE]; R]);
            for block in (0..panels[0].len()).step_by(layout.bytes) {
                for g in 0..layout.groups {
                    // SAFETY: a block has the parts that its layout says; the rows have a group for each group of the panel.
                    unsafe {
                        let extra = x.add(QUADS * R);
                        let (mut left, mut right) = ([$spread(0); R], [$spread(0); R]);
                        for r in 0..R {
                            let start = $spread(*extra.add(R + r) as i32);
                            (left[r], right[r]) = (start, start);
                        }
                        let at = block + layout.integers_at + g * layout.integers_bytes;
                        let column = |c: usize| panels[c].as_ptr().add(at + lanes[c] * QUAD);
                        let integers = [column(0), column(1)];
                        // Vectors of nibbles hold two quads. With many rows the number of vectors is kept from the compiler, which would else take the
                        // loop apart and put the sums into memory.
                        let quads = if NIBBLE { 2 } else { 1 };
                        let vectors = if R > FEW { layout.integers_bytes / (PANEL * QUAD) } else { QUADS / quads };
                        for vector in 0..vectors {
                            let from = vector * PANEL * QUAD;
                            if NIBBLE && R <= FEW {
                                for w in integers {
                                    _mm_prefetch::<_MM_HINT_NTA>(w.wrapping_add(from + AHEAD).cast());
                                }
                            }
                            let w: [$integers; SIDE] = [$load(integers[0].add(from)), $load(integers[1].add(from))];
                            for quad in 0..quads {
                                let part = |w: $integers| match (NIBBLE, quad) {
                                    (false, _) => w,
                                    (true, 0) => $and(w, low),
                                    (true, _) => $and($shift::<4>(w), low),
                                };
                                let w = [part(w[0]), part(w[1])];
                                for r in 0..R {
                                    let q = $spread(*x.add((vector * quads + quad) * R + r) as i32);
                                    left[r] = $dot(left[r], w[0], q, SIGNED);
                                    right[r] = $dot(right[r], w[1], q, SIGNED);
                                }
                            }
                        }
                        // Totals of many rows stay in memory; the compiler would keep a second copy of what it cannot hold in registers.
                        let memory = if R > FEW { std::hint::black_box(out.as_mut_ptr()) } else { out.as_mut_ptr() };
                        let mut finish = |c: usize, sums: [$integers; R]| {
                            let start = panels[c].as_ptr().add(block);
                            let (scale, offset) = $scales::<AFFINE>(start, layout, g, lanes[c]);
                            for (r, sum) in sums.into_iter().enumerate() {
                                let place = (*memory.add(r)).as_mut_ptr().add(c * $lanes);
                                let before = if R > FEW { $load_floats(place) } else { totals[r][c] };
                                let factor = $mul(scale, $spread_float(f32::from_bits(*extra.add(r))));
                                let mut total = $fma($to_floats(sum), factor, before);
                                if AFFINE {
                                    total = $fma(offset, $spread_float(f32::from_bits(*extra.add(2 * R + r))), total);
                                }
                                if R > FEW {
                                    $store_floats(place, total);
                                } else {
                                    totals[r][c] = total;
                                }
                            }
                        };
                        finish(0, left);
                        finish(1, right);
                        x = extra.add(GROUP_EXTRA * R);
                    }
                }
            }
            if R <= FEW {
                for (out, totals) in out.iter_mut().zip(totals) {
                    // SAFETY: a row has room for both columns.
                    unsafe {
                        $store_floats(out.as_mut_ptr(), totals[0]);
                        $store_floats(out.as_mut_ptr().add($lanes), totals[1]);
                    }
                }
            }
        }
    };
}

tile!(
    vnni_tile,
    vnni_scales,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni",
    16,
    __m512i,
    __m512,
    |from: *const u8| _mm512_loadu_si512(from.cast()),
    _mm512_and_si512,
    _mm512_srli_epi16,
    _mm512_set1_epi8,
    _mm512_set1_epi32,
    _mm512_set1_ps,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_cvtepi32_ps,
    _mm512_mul_ps,
    _mm512_fmadd_ps,
    |from: *const u8| _mm512_cvtph_ps(_mm256_loadu_si256(from.cast::<__m256i>())),
    |from: *const u8| _mm512_cvtepi8_epi32(_mm_loadu_si128(from.cast::<__m128i>())),
    |from: *const u8| _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast::<__m128i>())),
    |sum: __m512i, w: __m512i, q: __m512i, _signed: bool| _mm512_dpbusd_epi32(sum, w, q)
);

tile!(
    avx2_tile,
    avx2_scales,
    "avx2,fma,f16c",
    8,
    __m256i,
    __m256,
    |from: *const u8| _mm256_loadu_si256(from.cast::<__m256i>()),
    _mm256_and_si256,
    _mm256_srli_epi16,
    _mm256_set1_epi8,
    _mm256_set1_epi32,
    _mm256_set1_ps,
    _mm256_loadu_ps,
    _mm256_storeu_ps,
    _mm256_cvtepi32_ps,
    _mm256_mul_ps,
    _mm256_fmadd_ps,
    |from: *const u8| _mm256_cvtph_ps(_mm_loadu_si128(from.cast::<__m128i>())),
    |from: *const u8| _mm256_cvtepi8_epi32(_mm_loadl_epi64(from.cast::<__m128i>())),
    |from: *const u8| _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast::<__m128i>())),
    // The products of bytes are added in pairs in 16 bits, which 255 · 127 · 2 would overflow; so where zero is 128 the weights are taken with
    // their sign (`u − 128`): 128 · 127 · 2 fits.
    |sum: __m256i, w: __m256i, q: __m256i, signed: bool| {
        let (w, q) = if signed {
            let w = _mm256_xor_si256(w, _mm256_set1_epi8(-128));
            (_mm256_abs_epi8(w), _mm256_sign_epi8(q, w))
        } else {
            (w, q)
        };
        _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(w, q), _mm256_set1_epi16(1)))
    }
);

/// Defines a tile of weights in bfloat16, as [`tile`] does for blocks. `dot` adds the products of a pair in each lane to its sum.
macro_rules! pairs_tile {
    ($name:ident, $features:literal, $lanes:literal, $load:expr, $spread:ident, $zero:ident, $store:ident, $dot:expr) => {
        /// # Safety
        /// The processor has the instructions. Each column is a whole panel of pairs, moved to the first of its lanes; `x` is a tile of `R` rows as
        /// wide as the panels.
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize>(columns: [*const u8; SIDE], pairs: usize, x: *const u32, out: &mut Out) {
            let (mut left, mut right) = ([$zero(); R], [$zero(); R]);
            for pair in 0..pairs {
                // SAFETY: the panels and the rows have so many pairs.
                unsafe {
                    let w = [$load(columns[0].add(pair * PAIRS)), $load(columns[1].add(pair * PAIRS))];
                    for r in 0..R {
                        let q = $spread(*x.add(pair * R + r) as i32);
                        left[r] = $dot(left[r], w[0], q);
                        right[r] = $dot(right[r], w[1], q);
                    }
                }
            }
            for (out, (left, right)) in out.iter_mut().zip(left.into_iter().zip(right)) {
                // SAFETY: a row has room for both columns.
                unsafe {
                    $store(out.as_mut_ptr(), left);
                    $store(out.as_mut_ptr().add($lanes), right);
                }
            }
        }
    };
}

pairs_tile!(
    avx512_pairs_tile,
    "avx512f,avx512bf16",
    16,
    |from: *const u8| _mm512_loadu_si512(from.cast()),
    _mm512_set1_epi32,
    _mm512_setzero_ps,
    _mm512_storeu_ps,
    |sum: __m512, w: __m512i, q: __m512i| {
        // Registers of 512 bits have no invalid content.
        let pairs = |x: __m512i| std::mem::transmute::<__m512i, __m512bh>(x);
        _mm512_dpbf16_ps(sum, pairs(w), pairs(q))
    }
);

pairs_tile!(
    avx2_pairs_tile,
    "avx2,fma",
    8,
    |from: *const u8| _mm256_loadu_si256(from.cast::<__m256i>()),
    _mm256_set1_epi32,
    _mm256_setzero_ps,
    _mm256_storeu_ps,
    |sum: __m256, w: __m256i, q: __m256i| {
        let low = |x: __m256i| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x));
        let high = |x: __m256i| _mm256_castsi256_ps(_mm256_and_si256(x, _mm256_set1_epi32(0xffff_0000_u32 as i32)));
        _mm256_fmadd_ps(high(w), high(q), _mm256_fmadd_ps(low(w), low(q), sum))
    }
);

/// Calls the tile of the height of `rows`.
macro_rules! call_pairs {
    ($tile:ident, [$($height:literal)+], $rows:expr, ($columns:expr, $pairs:expr, $out:expr)) => {
        match $rows.height {
            $($height => $tile::<$height>($columns, $pairs, $rows.words.as_ptr(), $out),)+
            _ => unreachable!("invariant: rows stand in tiles that the path knows"),
        }
    };
}

/// Rows times panels of pairs.
///
/// # Safety
/// The processor has AVX-512 with dot products of bfloat16.
pub(super) unsafe fn avx512_pairs(panels: [&[u8]; SIDE], rows: &RowTile<'_>, out: &mut Out) {
    let (columns, pairs) = (panels.map(<[u8]>::as_ptr), panels[0].len() / PAIRS);
    // SAFETY: the caller has seen to the instructions; the tile has the height of the rows.
    unsafe { call_pairs!(avx512_pairs_tile, [1 2 3 4 6 8 12], rows, (columns, pairs, out)) };
}

/// As [`avx512_pairs`], each panel in halves.
///
/// # Safety
/// The processor has AVX2 and FMA.
pub(super) unsafe fn avx2_pairs(panels: [&[u8]; SIDE], rows: &RowTile<'_>, out: &mut Out) {
    in_halves(panels, out, |panel, both| {
        let columns = [panel.as_ptr(), panel[PAIRS / 2..].as_ptr()];
        // SAFETY: the caller has seen to the instructions; the tile has the height of the rows.
        unsafe { call_pairs!(avx2_pairs_tile, [1 2 3 4], rows, (columns, panel.len() / PAIRS, both)) };
    });
}

/// Computes one panel after the other.
fn in_halves(panels: [&[u8]; SIDE], out: &mut Out, mut compute: impl FnMut(&[u8], &mut Out)) {
    for (n, panel) in panels.into_iter().enumerate() {
        let mut both: Out = [[0.0; SIDE * PANEL]; TALLEST];
        compute(panel, &mut both);
        for (out, both) in out.iter_mut().zip(&both) {
            out[n * PANEL..][..PANEL].copy_from_slice(&both[..PANEL]);
        }
    }
}

/// Rows times panels, to `out`, which is zero before.
///
/// # Safety
/// The processor has AVX-512 with VNNI.
pub(super) unsafe fn vnni(panels: [&[u8]; SIDE], layout: &PanelLayout, rows: &RowTile<'_>, out: &mut Out) {
    // SAFETY: the caller has seen to the instructions; the tile has the height of the rows.
    unsafe {
        let (columns, x) = ((panels, [0; SIDE]), rows.words.as_ptr());
        call!(vnni_tile, [1 2 3 4 6 8 12], false, layout, rows, (columns, layout, x, out));
    }
}

/// As [`vnni`], each panel in halves.
///
/// # Safety
/// The processor has AVX2, FMA and F16C.
pub(super) unsafe fn avx2(panels: [&[u8]; SIDE], layout: &PanelLayout, rows: &RowTile<'_>, out: &mut Out) {
    in_halves(panels, out, |panel, both| {
        let (columns, x) = (([panel; SIDE], [0, PANEL / SIDE]), rows.words.as_ptr());
        // SAFETY: the caller has seen to the instructions; the tile has the height of the rows.
        unsafe { call!(avx2_tile, [1 2 3 4], layout.zero == 128, layout, rows, (columns, layout, x, both)) };
    });
}
