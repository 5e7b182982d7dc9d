//! Draws that depend on (seed, purpose, index) only.

use inkstone_corpus::mix::{INCREMENT, finalise};

/// What a draw is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Initial vectors.
    Initial = 1,
    /// Whether a frequent word is passed over.
    Subsampling = 2,
    /// A window's radius and its negatives.
    Window = 3,
    /// Initial weights of a network.
    Weights = 4,
    /// Which units are dropped.
    Dropout = 5,
}

/// A stream of draws: `SplitMix64` (Steele, Lea, Flood 2014) from a hashed beginning.
#[derive(Debug, Clone)]
pub(crate) struct Draws(u64);

impl Draws {
    /// The stream of the `index`-th thing of a purpose.
    #[inline]
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        Self(finalise(finalise(finalise(seed.wrapping_add(INCREMENT)) ^ purpose as u64) ^ index))
    }

    /// 64 random bits.
    #[inline]
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(INCREMENT);
        finalise(self.0)
    }

    /// A number from 0 to 1 (exclusive).
    #[inline]
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The upper half of `bits` as a number below `n`; the lower half stays unused.
#[inline]
pub(crate) fn below(bits: u64, n: u32) -> u32 {
    (((bits >> 32) * u64::from(n)) >> 32) as u32
}
