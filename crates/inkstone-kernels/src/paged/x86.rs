//! [`add_products`](super::products::add_products) in the vector instructions of x86-64.

use std::arch::x86_64::{
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm512_fmadd_ps, _mm512_loadu_ps,
    _mm512_set1_ps, _mm512_storeu_ps,
};

use super::products::{LANES, Lines, SIDE, Sums};

/// First elements and distances: of sums, rows, and vectors of a block.
struct Place {
    sums: *mut f32,
    stride: usize,
    a: *const f32,
    a_stride: usize,
    b: [*const f32; SIDE],
    b_stride: usize,
    depth: usize,
}

/// Defines a tile of `R` rows times `C` vectors whose sums stay in registers.
macro_rules! tile {
    ($name:ident, $features:literal, $load:ident, $store:ident, $spread:ident, $fma:ident) => {
        /// # Safety
        /// The processor has the instructions; sums, rows and vectors lie inside live slices.
        #[target_feature(enable = $features)]
        unsafe fn $name<const R: usize, const C: usize>(place: Place) {
            let Place { sums: to, stride, a, a_stride, b, b_stride, depth } = place;
            // SAFETY: the caller's promise.
            unsafe {
                let mut sums = [[$spread(0.0); C]; R];
                for r in 0..R {
                    for c in 0..C {
                        sums[r][c] = $load(to.add(r * stride + c * LANES));
                    }
                }
                for k in 0..depth {
                    for c in 0..C {
                        let b = $load(b[c].add(k * b_stride));
                        for r in 0..R {
                            sums[r][c] = $fma($spread(*a.add(r * a_stride + k)), b, sums[r][c]);
                        }
                    }
                }
                for r in 0..R {
                    for c in 0..C {
                        $store(to.add(r * stride + c * LANES), sums[r][c]);
                    }
                }
            }
        }
    };
}

tile!(avx512_tile, "avx512f", _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps);
tile!(avx2_tile, "avx2,fma", _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps);

/// Goes through the rows, four at a time, then one; `lane` is the first of each vector.
///
/// # Safety
/// The processor has the tiles' instructions; everything is as long as `add_products` says, also with `at` added to the place of the sums.
unsafe fn each_tile(
    sums: &mut Sums<'_>,
    (a, b): (Lines<'_>, &[Lines<'_>]),
    (at, lane): (usize, usize),
    depth: usize,
    [four, one]: [unsafe fn(Place); 2],
) {
    let mut row = 0;
    while row < sums.rows {
        let (tile, height) = if sums.rows - row >= SIDE { (four, SIDE) } else { (one, 1) };
        let place = Place {
            sums: sums.numbers[sums.at + at + row * sums.stride..].as_mut_ptr(),
            stride: sums.stride,
            a: a.numbers[row * a.stride..].as_ptr(),
            a_stride: a.stride,
            b: std::array::from_fn(|n| b.get(n).unwrap_or(&b[0]).numbers[lane..].as_ptr()),
            b_stride: b[0].stride,
            depth,
        };
        // SAFETY: the caller's promise.
        unsafe { tile(place) };
        row += height;
    }
}

/// # Safety
/// The processor has AVX-512; everything is as long as `add_products` says.
pub(super) unsafe fn avx512(sums: &mut Sums<'_>, a: Lines<'_>, b: &[Lines<'_>], depth: usize) {
    for (n, some) in b.chunks(SIDE).enumerate() {
        let at = n * SIDE * LANES;
        // SAFETY: the caller's promise.
        unsafe {
            if some.len() == SIDE {
                let tiles = [avx512_tile::<SIDE, SIDE> as unsafe fn(Place), avx512_tile::<1, SIDE>];
                each_tile(sums, (a, some), (at, 0), depth, tiles);
            } else {
                for (c, b) in some.chunks(1).enumerate() {
                    let tiles = [avx512_tile::<SIDE, 1> as unsafe fn(Place), avx512_tile::<1, 1>];
                    each_tile(sums, (a, b), (at + c * LANES, 0), depth, tiles);
                }
            }
        }
    }
}

/// # Safety
/// The processor has AVX2 and FMA; everything is as long as `add_products` says.
pub(super) unsafe fn avx2(sums: &mut Sums<'_>, a: Lines<'_>, b: &[Lines<'_>], depth: usize) {
    for (c, b) in b.chunks(1).enumerate() {
        for lane in [0, LANES / 2] {
            let tiles = [avx2_tile::<SIDE, 1> as unsafe fn(Place), avx2_tile::<1, 1>];
            // SAFETY: the caller's promise.
            unsafe { each_tile(sums, (a, b), (c * LANES + lane, lane), depth, tiles) };
        }
    }
}
