//! What a slice of activations may hold: f32, or bfloat16 in half the memory. All arithmetic is in f32.

use half::bf16;

use rayon::prelude::*;

use crate::bf16::rounded;
use crate::expect_len;
use crate::profile::{Work, span};
use crate::simd::simd_fn;

/// Numbers of a task.
const PART: usize = 1 << 15;

/// A stored number.
pub trait Number: Copy + Send + Sync + Default + 'static {
    /// Whether it is a bfloat16.
    const HALF: bool;

    /// Its value.
    fn to_f32(self) -> f32;

    /// The nearest to a value, ties to even.
    fn from_f32(value: f32) -> Self;

    /// The bits of the nearest bfloat16.
    fn half_bits(self) -> u16;
}

impl Number for f32 {
    const HALF: bool = false;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }

    #[inline(always)]
    fn half_bits(self) -> u16 {
        (rounded(self).to_bits() >> 16) as u16
    }
}

impl Number for bf16 {
    const HALF: bool = true;

    #[inline(always)]
    fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        Self::from_bits(value.half_bits())
    }

    #[inline(always)]
    fn half_bits(self) -> u16 {
        self.to_bits()
    }
}

simd_fn! {
    /// `to = from`, as numbers of another kind.
    pub(crate) fn store<'a, N: Number>(to: &'a mut [N], from: &'a [f32]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = N::from_f32(from);
        }
    }
}

/// `to = from` as bfloat16, on all threads.
///
/// # Panics
/// If the lengths differ.
pub fn narrow(to: &mut [bf16], from: &[f32]) {
    expect_len("to", to.len(), from.len());
    let _span = span("narrow", || Work::moving(size_of_val(to) + size_of_val(from)));
    to.par_chunks_mut(PART).zip(from.par_chunks(PART)).for_each(|(to, from)| store(to, from));
}

simd_fn! {
    /// `to = from`, as f32.
    pub fn load<'a, N: Number>(to: &'a mut [f32], from: &'a [N]) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = from.to_f32();
        }
    }
}
