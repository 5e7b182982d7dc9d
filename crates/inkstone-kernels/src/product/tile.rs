//! The innermost tiles: a few rows by a few columns, held in registers over one panel.

use super::STEPS;
use crate::Precision;
use crate::isa::{Isa, isa};

/// What one packed element holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    /// One f32.
    Single,
    /// One f32 that was rounded to bfloat16.
    Rounded,
    /// Two bfloat16, the one of the smaller depth in the lower half.
    Pair,
}

impl Element {
    /// Depth covered by one element.
    pub(super) fn depth(self) -> usize {
        if self == Self::Pair { 2 } else { 1 }
    }
}

/// `out[r, c] (+)= Σₛ a[r, s] · b[s, c]` over `steps` elements: panel of `a`, panel of `b`, steps, first
/// element of `out`, its row stride in elements, and whether to add to what is there.
///
/// `a` is `[rows][STEPS]`, or `[steps][rows]` where it was turned; `b` is `[steps][columns]`.
pub(super) type Run = unsafe fn(*const u32, *const u32, usize, *mut u8, usize, bool);

/// The functions of a tile for one kind of output.
#[derive(Clone, Copy)]
pub(super) struct Runs {
    /// For `a` in rows.
    pub(super) straight: Run,
    /// For `a` in steps.
    pub(super) turned: Run,
}

impl Runs {
    pub(super) fn of(self, turned: bool) -> Run {
        if turned { self.turned } else { self.straight }
    }
}

/// A tile of one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) element: Element,
    /// Sums to f32.
    pub(super) single: Runs,
    /// Sums to bfloat16, where the instruction set rounds them in registers.
    pub(super) half: Option<Runs>,
}

/// Largest tile, in elements of the output.
pub(super) const LARGEST: usize = 12 * 32;

impl Tile {
    /// The tile of the chosen instruction set.
    pub(super) fn of(precision: Precision) -> Self {
        let rounded = |tile: Self| Self { element: Element::Rounded, ..tile };
        match (isa(), precision) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Bf16, Precision::Bf16) => super::x86::AVX512_BF16,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Bf16 | Isa::Avx512, Precision::F32) => super::x86::AVX512,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512, Precision::Bf16) => rounded(super::x86::AVX512),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Precision::F32) => super::x86::AVX2,
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, Precision::Bf16) => rounded(super::x86::AVX2),
            (_, Precision::F32) => PORTABLE,
            (_, Precision::Bf16) => rounded(PORTABLE),
        }
    }
}

/// Loops that any compiler turns into the vectors of its target.
const PORTABLE: Tile = Tile {
    rows: 4,
    columns: 16,
    element: Element::Single,
    single: Runs { straight: portable::<false>, turned: portable::<true> },
    half: None,
};

/// # Safety
/// As [`Run`] says: the panels hold `steps`, and `out` is valid for 4 rows of 16 f32.
#[expect(clippy::cast_ptr_alignment, reason = "the output is a slice of f32")]
unsafe fn portable<const TURNED: bool>(
    a: *const u32,
    b: *const u32,
    steps: usize,
    out: *mut u8,
    stride: usize,
    add: bool,
) {
    let out = out.cast::<f32>();
    let mut sums = [[0.0_f32; 16]; 4];
    for step in 0..steps {
        // SAFETY: the panel of `b` holds 16 elements a step.
        let b = unsafe { &*b.add(step * 16).cast::<[f32; 16]>() };
        for (row, sums) in sums.iter_mut().enumerate() {
            // SAFETY: the panel of `a` holds 4 rows of `steps`.
            let a = f32::from_bits(unsafe { *a.add(if TURNED { step * 4 + row } else { row * STEPS + step }) });
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum += a * b;
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        // SAFETY: the caller lends 4 rows of 16.
        let out = unsafe { std::slice::from_raw_parts_mut(out.add(row * stride), 16) };
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = if add { *out + sum } else { *sum };
        }
    }
}

/// Floating point operations in registers alone and what they gave; the seed keeps them from being computed beforehand.
pub(crate) struct Roof {
    /// Operations in one of the `rounds` given to `run`.
    pub(crate) flops: f64,
    run: unsafe fn(usize, f32) -> f32,
}

impl Roof {
    /// Of the chosen instruction set; `None` where its tiles are left to the compiler.
    pub(crate) fn of(precision: Precision) -> Option<Self> {
        match (isa(), precision) {
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Bf16, Precision::Bf16) => Some(Self { flops: 24.0 * 64.0, run: super::x86::avx512_bf16_roof }),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx512Bf16 | Isa::Avx512, _) => Some(Self { flops: 24.0 * 32.0, run: super::x86::avx512_roof }),
            #[cfg(target_arch = "x86_64")]
            (Isa::Avx2, _) => Some(Self { flops: 24.0 * 16.0, run: super::x86::avx2_roof }),
            _ => None,
        }
    }

    /// Works for so many rounds.
    pub(crate) fn run(&self, rounds: usize) -> f32 {
        // SAFETY: `of` chose it for this processor.
        unsafe { (self.run)(rounds, std::hint::black_box(1e-3)) }
    }
}
