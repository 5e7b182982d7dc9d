//! Draws that are functions of what they are for.

/// Bits that look drawn, from others: `SplitMix64`'s finaliser (Steele, Lea, Flood 2014, doi:10.1145/2714064.2660195).
pub fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
