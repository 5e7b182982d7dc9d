//! A block put together from its parts; the other way round than [`super::parts`].

use super::BlockFormat;
use super::parts::Parts;

impl Parts {
    /// Puts a block of one of [`BlockFormat::WRITTEN`] together.
    pub(super) fn put_together(&self, format: BlockFormat, block: &mut [u8]) {
        block.fill(0);
        match format {
            BlockFormat::Q8_0 => {
                block[..2].copy_from_slice(&self.d.to_le_bytes());
                block[2..].iter_mut().zip(&self.u).for_each(|(byte, u)| *byte = u ^ 0x80);
            }
            BlockFormat::Q4_0 => {
                block[..2].copy_from_slice(&self.d.to_le_bytes());
                nibbles(&mut block[2..], &self.u[..32], 16);
            }
            BlockFormat::Q4_K => {
                self.k_scales(block);
                nibbles(&mut block[16..], &self.u, 32);
            }
            BlockFormat::Q5_K => {
                self.k_scales(block);
                nibbles(&mut block[48..], &self.u, 32);
                for (n, u) in self.u.iter().enumerate() {
                    block[16 + n % 32] |= (u >> 4) << (n / 32);
                }
            }
            BlockFormat::Q6_K => {
                nibbles(&mut block[..128], &self.u, 64);
                for (n, u) in self.u.iter().enumerate() {
                    block[128 + 32 * (n / 128) + n % 32] |= (u >> 4) << (2 * (n / 32 % 4));
                }
                block[192..208].iter_mut().zip(&self.scales).for_each(|(byte, scale)| *byte = *scale as u8);
                block[208..].copy_from_slice(&self.d.to_le_bytes());
            }
            _ => unreachable!("invariant: only the written formats are put together"),
        }
    }

    /// `d`, `dmin` and the six-bit scales of `Q4_K` and `Q5_K`.
    fn k_scales(&self, block: &mut [u8]) {
        block[..2].copy_from_slice(&self.d.to_le_bytes());
        block[2..4].copy_from_slice(&(-self.m).to_le_bytes());
        for g in 0..4 {
            let (low, high) = (self.scales[g] as u8, self.scales[4 + g] as u8);
            block[4 + g] = low | high >> 4 << 6;
            block[8 + g] = self.mins[g] | self.mins[4 + g] >> 4 << 6;
            block[12 + g] = high & 15 | (self.mins[4 + g] & 15) << 4;
        }
    }
}

/// Of every `run` bytes the low nibbles, then the high ones.
fn nibbles(bytes: &mut [u8], u: &[u8], run: usize) {
    for (bytes, u) in bytes.chunks_exact_mut(run).zip(u.chunks_exact(2 * run)) {
        let (low, high) = u.split_at(run);
        for (byte, (low, high)) in bytes.iter_mut().zip(low.iter().zip(high)) {
            *byte = low & 15 | (high & 15) << 4;
        }
    }
}
