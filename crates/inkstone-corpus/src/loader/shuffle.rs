//! A permutation of any size without a table.

use crate::mix::{INCREMENT, finalise};

/// Rounds of the Feistel network; four already pass for random, more cost nothing here.
const ROUNDS: u64 = 6;

/// A pseudo-random permutation of `0..n` that is computed where it is asked for: a Feistel
/// network over the next even number of bits, walked until it falls into the range (Black and
/// Rogaway, "Ciphers with arbitrary finite domains", 2002).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Permutation {
    n: u64,
    half_bits: u32,
    /// `None` leaves everything in its place.
    key: Option<u64>,
}

impl Permutation {
    pub(crate) fn identity(n: u64) -> Self {
        Self { n, half_bits: 0, key: None }
    }

    pub(crate) fn shuffled(n: u64, key: u64) -> Self {
        let bits = u64::BITS - n.saturating_sub(1).leading_zeros();
        Self { n, half_bits: bits.div_ceil(2).max(1), key: Some(key) }
    }

    /// Where `position` (below `n`) goes.
    pub(crate) fn get(&self, position: u64) -> u64 {
        debug_assert!(position < self.n, "position outside of the permutation");
        let Some(key) = self.key else { return position };
        let mut at = self.once(position, key);
        while at >= self.n {
            at = self.once(at, key);
        }
        at
    }

    fn once(&self, position: u64, key: u64) -> u64 {
        let low = (1 << self.half_bits) - 1;
        let (mut left, mut right) = (position >> self.half_bits, position & low);
        for round in 0..ROUNDS {
            let mixed = mix(key.wrapping_add(mix(right.wrapping_mul(ROUNDS).wrapping_add(round)))) & low;
            (left, right) = (right, left ^ mixed);
        }
        left << self.half_bits | right
    }
}

/// One step of `SplitMix64` from `value`.
pub(crate) fn mix(value: u64) -> u64 {
    finalise(value.wrapping_add(INCREMENT))
}

#[cfg(test)]
mod tests {
    use super::Permutation;

    #[test]
    fn is_a_permutation_of_every_small_size() {
        for n in 1..200 {
            let permutation = Permutation::shuffled(n, n ^ 0xABCD);
            let mut found: Vec<_> = (0..n).map(|at| permutation.get(at)).collect();
            found.sort_unstable();
            assert!(found.into_iter().eq(0..n), "n = {n}");
        }
    }

    #[test]
    fn spreads_evenly() {
        // How often position 0 goes to each of 8 places over 8,000 keys: 1,000 expected, standard
        // deviation 30.
        let mut counts = [0_u32; 8];
        for key in 0..8_000 {
            counts[Permutation::shuffled(8, super::mix(key)).get(0) as usize] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1_150).contains(&count)), "{counts:?}");
    }
}
