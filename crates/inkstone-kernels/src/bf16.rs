//! Rounding to bfloat16, kept in f32.

/// The nearest bfloat16, ties to even; what is not a number stays so.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let quiet = bits | 0x0040_0000;
    f32::from_bits(if x.is_nan() { quiet } else { nearest } & 0xffff_0000)
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn rounds_as_the_half_crate_does() {
        let lows = [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        for bits in (0..=0xffff_u32).flat_map(|high| lows.map(|low| high << 16 | low)) {
            let x = f32::from_bits(bits);
            assert_eq!(rounded(x).to_bits(), half::bf16::from_f32(x).to_f32().to_bits(), "{bits:#x}");
        }
    }
}
