//! An n-gram packed into one integer.
//!
//! With `b` bits for a word, the n-gram w₁…wₖ is the integer wₖ·2^((k−1)b) + … + w₂·2^b + w₁: the *last* word is the most
//! significant. Sorted this way ("suffix order") n-grams with the same ending lie together, and dropping the first word
//! is a shift. Rotating wₖ to the lowest place gives "context order": n-grams with the same history together, the histories
//! themselves in suffix order (Heafield et al. 2013, section 3).

use crate::ngram::vocabulary::WordId;

/// An unsigned integer wide enough for an n-gram.
pub trait Key: Copy + Ord + Send + Sync + std::fmt::Debug + 'static {
    /// How many bits there are.
    const BITS: u32;
    /// Zero.
    const ZERO: Self;
    /// `self · 2^bits`, without what overflows.
    #[must_use]
    fn shl(self, bits: u32) -> Self;
    /// `self / 2^bits`.
    #[must_use]
    fn shr(self, bits: u32) -> Self;
    /// Bits that are in either.
    #[must_use]
    fn or(self, other: Self) -> Self;
    /// The lowest `bits` bits.
    #[must_use]
    fn low(self, bits: u32) -> Self;
    /// A word.
    fn of(word: WordId) -> Self;
    /// The lowest 32 bits.
    fn word(self) -> WordId;
    /// Appends the lowest `bytes` bytes.
    fn put(self, bytes: usize, out: &mut Vec<u8>);
    /// What [`put`](Self::put) appended.
    fn take(bytes: &[u8]) -> Self;
}

macro_rules! key {
    ($int:ty) => {
        impl Key for $int {
            const BITS: u32 = <$int>::BITS;
            const ZERO: Self = 0;
            fn shl(self, bits: u32) -> Self {
                self.checked_shl(bits).unwrap_or(0)
            }
            fn shr(self, bits: u32) -> Self {
                self.checked_shr(bits).unwrap_or(0)
            }
            fn or(self, other: Self) -> Self {
                self | other
            }
            fn low(self, bits: u32) -> Self {
                if bits >= Self::BITS { self } else { self & ((1 << bits) - 1) }
            }
            fn of(word: WordId) -> Self {
                word as $int
            }
            fn word(self) -> WordId {
                self as WordId
            }
            fn put(self, bytes: usize, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes()[..bytes]);
            }
            fn take(bytes: &[u8]) -> Self {
                let mut all = [0; size_of::<$int>()];
                all[..bytes.len()].copy_from_slice(bytes);
                <$int>::from_le_bytes(all)
            }
        }
    };
}

key!(u64);
key!(u128);

/// An integer of `2 · 128` or more bits, most significant part first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wide<const N: usize>([u128; N]);

impl<const N: usize> Key for Wide<N> {
    const BITS: u32 = 128 * N as u32;
    const ZERO: Self = Self([0; N]);

    fn shl(self, bits: u32) -> Self {
        let (whole, part) = ((bits / 128) as usize, bits % 128);
        let at = |i: usize| self.0.get(i).copied().unwrap_or(0);
        Self(std::array::from_fn(|i| at(i + whole) << part | Key::shr(at(i + whole + 1), 128 - part)))
    }

    fn shr(self, bits: u32) -> Self {
        let (whole, part) = ((bits / 128) as usize, bits % 128);
        let at = |i: Option<usize>| i.and_then(|i| self.0.get(i)).copied().unwrap_or(0);
        Self(std::array::from_fn(|i| {
            at(i.checked_sub(whole)) >> part | Key::shl(at(i.checked_sub(whole + 1)), 128 - part)
        }))
    }

    fn or(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] | other.0[i]))
    }

    fn low(self, bits: u32) -> Self {
        let of_part = |i: usize| bits.saturating_sub(128 * (N - 1 - i) as u32);
        Self(std::array::from_fn(|i| self.0[i].low(of_part(i))))
    }

    fn of(word: WordId) -> Self {
        let mut parts = [0; N];
        parts[N - 1] = word as u128;
        Self(parts)
    }

    fn word(self) -> WordId {
        self.0[N - 1] as WordId
    }

    fn put(self, bytes: usize, out: &mut Vec<u8>) {
        let all = self.0.iter().rev().flat_map(|part| part.to_le_bytes());
        out.extend(all.take(bytes));
    }

    fn take(bytes: &[u8]) -> Self {
        let mut parts = [0; N];
        for (part, chunk) in parts.iter_mut().rev().zip(bytes.chunks(16)) {
            *part = u128::take(chunk);
        }
        Self(parts)
    }
}

/// How n-grams of one vocabulary are packed.
#[derive(Debug, Clone, Copy)]
pub struct Packing {
    /// Bits of a word.
    pub bits: u32,
}

impl Packing {
    /// Bytes of a packed n-gram of `order` words.
    pub fn bytes(self, order: usize) -> usize {
        (self.bits as usize * order).div_ceil(8)
    }

    /// The n-gram of `order` words that ends with `word` after the n-gram `before`.
    pub fn push<K: Key>(self, before: K, word: WordId, order: usize) -> K {
        before.shr(self.bits).or(K::of(word).shl(self.bits * (order as u32 - 1)))
    }

    /// Its last `order - 1` words.
    pub fn suffix<K: Key>(self, key: K) -> K {
        key.shr(self.bits)
    }

    /// Its first `order - 1` words: the history of the last one.
    pub fn history<K: Key>(self, key: K, order: usize) -> K {
        key.low(self.bits * (order as u32 - 1))
    }

    /// From suffix order to context order.
    pub fn to_context<K: Key>(self, key: K, order: usize) -> K {
        self.history(key, order).shl(self.bits).or(key.shr(self.bits * (order as u32 - 1)))
    }

    /// From context order to suffix order.
    pub fn to_suffix<K: Key>(self, key: K, order: usize) -> K {
        key.shr(self.bits).or(key.low(self.bits).shl(self.bits * (order as u32 - 1)))
    }

    /// Word `i`, counted from the end (0 is the last one).
    pub fn word_from_end<K: Key>(self, key: K, order: usize, i: usize) -> WordId {
        key.shr(self.bits * (order - 1 - i) as u32).low(self.bits).word()
    }

    /// The words, first to last.
    pub fn words<K: Key>(self, key: K, order: usize) -> impl Iterator<Item = WordId> {
        (0..order).map(move |i| key.shr(self.bits * i as u32).low(self.bits).word())
    }
}

#[cfg(test)]
mod tests {
    use super::{Key, Packing, Wide};

    fn round_trips<K: Key>() {
        let (packing, order) = (Packing { bits: 21 }, (K::BITS / 21) as usize);
        let words: Vec<u32> = (0..order as u32).map(|i| i * 77_777 % (1 << 21)).collect();
        let key = words.iter().fold(K::ZERO, |key, &word| packing.push(key, word, order));
        assert_eq!(packing.words(key, order).collect::<Vec<_>>(), words);
        assert_eq!(packing.word_from_end(key, order, 0), words[order - 1]);
        assert_eq!(packing.to_suffix(packing.to_context(key, order), order), key);
        assert!(packing.words(packing.suffix(key), order - 1).eq(words[1..].iter().copied()));
        assert!(packing.words(packing.history(key, order), order - 1).eq(words[..order - 1].iter().copied()));
        let mut bytes = Vec::new();
        key.put(packing.bytes(order), &mut bytes);
        assert_eq!(K::take(&bytes), key);
    }

    #[test]
    fn words_survive_packing_at_every_width() {
        round_trips::<u64>();
        round_trips::<u128>();
        round_trips::<Wide<2>>();
        round_trips::<Wide<4>>();
    }
}
