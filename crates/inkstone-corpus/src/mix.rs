//! `SplitMix64` (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): 64 well mixed bits of any 64.

/// What the generator adds from one draw to the next: 2^64 over the golden ratio.
pub const INCREMENT: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser.
#[inline]
pub fn finalise(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
