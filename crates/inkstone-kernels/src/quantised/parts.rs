//! A block taken apart.

use half::f16;

use super::BlockFormat;

/// The sixteen levels of `IQ4_NL`, each plus 128.
const LEVELS: [u8; 16] = [1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241];

/// The numbers of a block: integers `u`, scales `d` and `m` of the block, factors of each group; see [`super`].
#[derive(Debug, Clone)]
pub(super) struct Parts {
    pub(super) u: [u8; 256],
    pub(super) d: f16,
    pub(super) m: f16,
    pub(super) scales: [i8; 16],
    pub(super) mins: [u8; 16],
}

/// The integers of a block as they lie in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Words<'a> {
    /// A byte each, with a sign: 0 stands for 128.
    Signed(&'a [u8]),
    /// Of every so many bytes the low nibbles, then the high ones.
    Nibbles(&'a [u8], usize),
}

impl Parts {
    pub(super) fn new() -> Self {
        Self { u: [0; 256], d: f16::ZERO, m: f16::ZERO, scales: [1; 16], mins: [1; 16] }
    }

    /// What the integers of group `g` are multiplied with, and what is added.
    pub(super) fn group(&self, g: usize) -> (f32, f32) {
        (self.d.to_f32() * f32::from(self.scales[g]), self.m.to_f32() * f32::from(self.mins[g]))
    }

    /// Takes `block` apart.
    pub(super) fn take_apart(&mut self, format: BlockFormat, block: &[u8]) {
        match format {
            BlockFormat::Q8_0 => {
                self.d = half_at(block, 0);
                self.u.iter_mut().zip(&block[2..]).for_each(|(u, &q)| *u = q ^ 0x80);
            }
            BlockFormat::Q4_0 => {
                self.d = half_at(block, 0);
                halves(&mut self.u, &block[2..18]);
            }
            BlockFormat::Q4_1 => {
                (self.d, self.m) = (half_at(block, 0), half_at(block, 2));
                halves(&mut self.u, &block[4..20]);
            }
            BlockFormat::Q5_0 => {
                self.d = half_at(block, 0);
                halves(&mut self.u, &block[6..22]);
                fifth_bits(&mut self.u, &block[2..6]);
            }
            BlockFormat::Q5_1 => {
                (self.d, self.m) = (half_at(block, 0), half_at(block, 2));
                halves(&mut self.u, &block[8..24]);
                fifth_bits(&mut self.u, &block[4..8]);
            }
            BlockFormat::Iq4_Nl => {
                self.d = half_at(block, 0);
                halves(&mut self.u, &block[2..18]);
                self.u[..32].iter_mut().for_each(|u| *u = LEVELS[usize::from(*u)]);
            }
            BlockFormat::Q2_K => self.q2_k(block),
            BlockFormat::Q3_K => self.q3_k(block),
            BlockFormat::Q4_K => self.q4_k(block),
            BlockFormat::Q5_K => self.q5_k(block),
            BlockFormat::Q6_K => self.q6_k(block),
        }
    }

    /// [`Self::take_apart`], but for integers that lie in the block as whole words, which are handed out.
    pub(super) fn take_apart_but_words<'a>(&mut self, format: BlockFormat, block: &'a [u8]) -> Option<Words<'a>> {
        self.d = half_at(block, 0);
        match format {
            BlockFormat::Q8_0 => Some(Words::Signed(&block[2..])),
            BlockFormat::Q4_0 => Some(Words::Nibbles(&block[2..], 16)),
            BlockFormat::Q4_K => {
                self.m = -half_at(block, 2);
                self.six_bits(&block[4..16]);
                Some(Words::Nibbles(&block[16..], 32))
            }
            _ => {
                self.take_apart(format, block);
                None
            }
        }
    }

    /// 16 bytes of scales and minima, 64 of integers, `d`, `dmin`.
    fn q2_k(&mut self, block: &[u8]) {
        (self.d, self.m) = (half_at(block, 80), -half_at(block, 82));
        for (g, &byte) in block[..16].iter().enumerate() {
            (self.scales[g], self.mins[g]) = ((byte & 15) as i8, byte >> 4);
        }
        pairs_of_bits(&mut self.u, &block[16..80]);
    }

    /// 32 bytes of high bits, 64 of low pairs, 12 of scales, `d`.
    fn q3_k(&mut self, block: &[u8]) {
        self.d = half_at(block, 108);
        let packed = &block[96..108];
        for g in 0..16 {
            let low = packed[g % 8] >> (4 * (g / 8)) & 15;
            let high = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
            self.scales[g] = (low | high << 4) as i8 - 32;
        }
        pairs_of_bits(&mut self.u, &block[32..96]);
        for (n, u) in self.u.iter_mut().enumerate() {
            *u |= (block[n % 32] >> (n / 32) & 1) << 2;
        }
    }

    /// `d`, `dmin`, 12 bytes of scales and minima, 128 of integers.
    fn q4_k(&mut self, block: &[u8]) {
        (self.d, self.m) = (half_at(block, 0), -half_at(block, 2));
        self.six_bits(&block[4..16]);
        nibbles(&mut self.u, &block[16..144], 32);
    }

    /// As [`Self::q4_k`], with 32 bytes of fifth bits before the integers.
    fn q5_k(&mut self, block: &[u8]) {
        (self.d, self.m) = (half_at(block, 0), -half_at(block, 2));
        self.six_bits(&block[4..16]);
        nibbles(&mut self.u, &block[48..176], 32);
        for (n, u) in self.u.iter_mut().enumerate() {
            *u |= (block[16 + n % 32] >> (n / 32) & 1) << 4;
        }
    }

    /// 128 bytes of low nibbles, 64 of high pairs, 16 scales, `d`.
    fn q6_k(&mut self, block: &[u8]) {
        self.d = half_at(block, 208);
        nibbles(&mut self.u, &block[..128], 64);
        for (n, u) in self.u.iter_mut().enumerate() {
            *u |= (block[128 + 32 * (n / 128) + n % 32] >> (2 * (n / 32 % 4)) & 3) << 4;
        }
        self.scales.iter_mut().zip(&block[192..208]).for_each(|(scale, &byte)| *scale = byte as i8);
    }

    /// Eight scales and eight minima of six bits in twelve bytes.
    fn six_bits(&mut self, packed: &[u8]) {
        for g in 0..4 {
            self.scales[g] = (packed[g] & 63) as i8;
            self.mins[g] = packed[4 + g] & 63;
            self.scales[4 + g] = (packed[8 + g] & 15 | packed[g] >> 6 << 4) as i8;
            self.mins[4 + g] = packed[8 + g] >> 4 | packed[4 + g] >> 6 << 4;
        }
    }
}

fn half_at(block: &[u8], at: usize) -> f16 {
    f16::from_le_bytes([block[at], block[at + 1]])
}

/// The low nibbles of 16 bytes, then the high ones.
fn halves(u: &mut [u8], bytes: &[u8]) {
    nibbles(&mut u[..32], bytes, 16);
}

/// Of every `run` bytes the low nibbles, then the high ones.
fn nibbles(u: &mut [u8], bytes: &[u8], run: usize) {
    for (u, bytes) in u.chunks_exact_mut(2 * run).zip(bytes.chunks_exact(run)) {
        let (low, high) = u.split_at_mut(run);
        low.iter_mut().zip(bytes).for_each(|(u, byte)| *u = byte & 15);
        high.iter_mut().zip(bytes).for_each(|(u, byte)| *u = byte >> 4);
    }
}

/// Bit `n` of 32 is the fifth of integer `n`.
fn fifth_bits(u: &mut [u8], bits: &[u8]) {
    u[..32].iter_mut().enumerate().for_each(|(n, u)| *u |= (bits[n / 8] >> (n % 8) & 1) << 4);
}

/// Of every 32 bytes the lowest two bits, then the next ones, four times.
fn pairs_of_bits(u: &mut [u8], bytes: &[u8]) {
    for (u, bytes) in u.chunks_exact_mut(128).zip(bytes.chunks_exact(32)) {
        u.iter_mut().enumerate().for_each(|(n, u)| *u = bytes[n % 32] >> (2 * (n / 32)) & 3);
    }
}
