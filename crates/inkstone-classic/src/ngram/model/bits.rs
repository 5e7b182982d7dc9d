//! Numbers of any width, end to end; and counts in unary, of which the sum up to any place is found quickly.

use super::section::Section;

/// Bytes after the last number, so that eight can always be read at once.
const SLACK: usize = 8;

/// The widest number.
pub(super) const WIDEST: u32 = 57;

/// Writes numbers.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    bits: u64,
}

impl BitWriter {
    /// Appends the lowest `width` bits, 57 at most.
    pub(super) fn push(&mut self, value: u64, width: u32) {
        let at = (self.bits / 8) as usize;
        self.bytes.resize(at + SLACK, 0);
        let mut word = [0; 8];
        word.copy_from_slice(&self.bytes[at..at + 8]);
        let word = u64::from_le_bytes(word) | (value << (self.bits % 8));
        self.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        self.bits += u64::from(width);
    }

    /// All of them.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize((self.bits as usize).div_ceil(8) + SLACK, 0);
        self.bytes
    }
}

/// Reads the `width` bits at bit `at`; zero past the end.
#[inline]
pub(super) fn read(bytes: &[u8], at: u64, width: u32) -> u64 {
    let start = (at / 8) as usize;
    let Some(word) = bytes.get(start..start + 8) else { return 0 };
    let mut all = [0; 8];
    all.copy_from_slice(word);
    (u64::from_le_bytes(all) >> (at % 8)) & ((1 << width) - 1)
}

/// A place every so many ones is known.
const SAMPLE: u64 = 256;

/// Counts c₀, c₁, …: for each, so many zeros, then a one. Two bits a count and unit, whatever the counts.
#[derive(Debug, Clone)]
pub(super) struct Unary {
    pub(super) words: Section<u64>,
    /// Where every 256th one is.
    pub(super) samples: Section<u64>,
}

impl Unary {
    pub(super) fn new(counts: impl Iterator<Item = usize>) -> Self {
        let (mut words, mut samples, mut at): (Vec<u64>, Vec<u64>, u64) = (Vec::new(), Vec::new(), 0);
        for (i, count) in counts.enumerate() {
            at += count as u64;
            words.resize((at / 64) as usize + 1, 0);
            words[(at / 64) as usize] |= 1 << (at % 64);
            if (i as u64).is_multiple_of(SAMPLE) {
                samples.push(at);
            }
            at += 1;
        }
        Self { words: words.into(), samples: samples.into() }
    }

    /// c₀ + … + c_{i−1} and the same up to cᵢ; an empty range past the end.
    pub(super) fn range(&self, i: u64) -> std::ops::Range<u64> {
        let start = if i == 0 { Some(0) } else { self.one(i - 1).map(|at| at + 1 - i) };
        match (start, self.one(i).and_then(|at| at.checked_sub(i))) {
            (Some(start), Some(end)) => start..end,
            _ => 0..0,
        }
    }

    /// Where one number `i` is.
    fn one(&self, i: u64) -> Option<u64> {
        let sample = *self.samples.get((i / SAMPLE) as usize)?;
        let (mut left, mut at) = ((i % SAMPLE) as u32, (sample / 64) as usize);
        let mut word = *self.words.get(at)? & (u64::MAX << (sample % 64));
        while word.count_ones() <= left {
            left -= word.count_ones();
            at += 1;
            word = *self.words.get(at)?;
        }
        for _ in 0..left {
            word &= word - 1;
        }
        Some(at as u64 * 64 + u64::from(word.trailing_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use super::{BitWriter, Unary, read};

    #[test]
    fn numbers_and_counts_come_back() {
        let numbers: Vec<(u64, u32)> = (0..1000_u64)
            .map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & ((1 << (i % 57 + 1)) - 1), (i % 57 + 1) as u32))
            .collect();
        let mut writer = BitWriter::default();
        for &(value, width) in &numbers {
            writer.push(value, width);
        }
        let (bytes, mut at) = (writer.finish(), 0);
        for (value, width) in numbers {
            assert_eq!(read(&bytes, at, width), value);
            at += u64::from(width);
        }
        assert_eq!(read(&bytes, u64::MAX / 2, 7), 0);

        let counts: Vec<usize> = (0..5000).map(|i| if i % 97 == 0 { 300 } else { i * i % 5 }).collect();
        let unary = Unary::new(counts.iter().copied());
        let mut sum = 0;
        for (i, &count) in counts.iter().enumerate() {
            assert_eq!(unary.range(i as u64), sum..sum + count as u64);
            sum += count as u64;
        }
        assert_eq!(unary.range(5000), 0..0);
    }
}
