//! Numbers as short codes: each code stands for the mean of equally many of the sorted numbers (Heafield 2011, section 4.1).

use super::section::Section;

/// How the logarithms of one order are stored.
#[derive(Debug, Clone)]
pub(super) struct Codes {
    /// Bits of a code; 32 are the single-precision number itself.
    pub(super) bits: u32,
    /// What each code stands for, ascending; empty with 32 bits.
    pub(super) centres: Section<f32>,
}

/// Bits of a number that is stored as it is.
pub(super) const EXACT: u32 = 32;

impl Codes {
    /// Codes of so many bits for these numbers; the last `reserved` codes stay free.
    pub(super) fn new(bits: u32, reserved: usize, numbers: impl Iterator<Item = f32>) -> Self {
        if bits == EXACT {
            return Self { bits, centres: Vec::new().into() };
        }
        let mut numbers: Vec<f32> = numbers.collect();
        numbers.sort_unstable_by(f32::total_cmp);
        let bins = numbers.len().min((1 << bits) - reserved);
        let mean = |bin: &[f32]| (bin.iter().map(|&x| f64::from(x)).sum::<f64>() / bin.len() as f64) as f32;
        let mut centres: Vec<f32> =
            (0..bins).map(|i| mean(&numbers[numbers.len() * i / bins..numbers.len() * (i + 1) / bins])).collect();
        centres.dedup();
        Self { bits, centres: centres.into() }
    }

    /// The code of a number: that of the nearest centre.
    pub(super) fn encode(&self, x: f32) -> u64 {
        if self.bits == EXACT {
            return u64::from(x.to_bits());
        }
        let above = self.centres.partition_point(|&centre| centre.total_cmp(&x).is_lt());
        let nearer_below =
            above > 0 && (above == self.centres.len() || x - self.centres[above - 1] < self.centres[above] - x);
        (above - usize::from(nearer_below)) as u64
    }

    /// The number that a code stands for.
    #[inline]
    pub(super) fn decode(&self, code: u64) -> f32 {
        if self.bits == EXACT {
            return f32::from_bits(code as u32);
        }
        self.centres.get(code as usize).copied().unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Codes;

    #[test]
    fn codes_stand_for_the_nearest_centre() {
        let numbers: Vec<f32> = (0..1000).map(|i| -(i as f32).sqrt()).collect();
        let codes = Codes::new(4, 1, numbers.iter().copied());
        assert_eq!(codes.centres.len(), 15);
        for &x in &numbers {
            let own = codes.decode(codes.encode(x));
            assert!(codes.centres.iter().all(|centre| (own - x).abs() <= (centre - x).abs()));
        }
        let exact = Codes::new(32, 0, numbers.iter().copied());
        assert!(numbers.iter().all(|&x| exact.decode(exact.encode(x)) == x));
    }
}
