//! Draws that depend on (seed, purpose, index) only, so that one document can be written without
//! the ones before it.

use crate::mix::{INCREMENT, finalise};

/// A stream of draws for one purpose.
#[derive(Debug, Clone)]
pub struct Draw {
    key: u64,
    count: u64,
}

impl Draw {
    /// The stream of the `index`-th thing of a purpose.
    pub fn new(seed: u64, purpose: &str, index: usize) -> Self {
        let name = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self { key: finalise(finalise(seed ^ name).wrapping_add(index as u64)), count: 0 }
    }

    fn next(&mut self) -> u64 {
        self.count += 1;
        finalise(self.key.wrapping_add(self.count.wrapping_mul(INCREMENT)))
    }

    /// A number below `n`; 0 where `n` is 0.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }

    /// One of `items`.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// True in `percent` of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// A number from 0 to 1 (exclusive).
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// The numbers below `n` in some order (Fisher and Yates).
    pub fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for last in (1..n).rev() {
            order.swap(last, self.below(last + 1));
        }
        order
    }
}
