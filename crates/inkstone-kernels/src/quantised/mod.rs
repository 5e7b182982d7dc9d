//! Weights in blocks of few bits, as ggml lays them out, and products with them.
//!
//! Every format is one idea: a block holds small unsigned integers `u`, and a number is `d·s·(u − zero) + m·t`, where the half-precision
//! `d` and `m` belong to the block and the small integers `s` and `t` to a group of 16 or 32 numbers in it. `Parts` is a block taken
//! apart into these; [`dequantise`] is the plain meaning and the oracle of everything faster. [`Packed`] is the same numbers laid out for
//! the vector units, without a change to any of them.
//!
//! Source: the block layouts of ggml (`ggml-common.h`), as described by the GGUF specification and the `gguf` package.

mod activations;
mod packed;
mod parts;
mod portable;
mod product;
mod quantise;
mod search;
mod store;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use packed::Packed;
pub use product::{quantised_linear, quantised_linears};
pub use quantise::{BlockQuantiser, quantise};

use parts::Parts;

/// A layout of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(non_camel_case_types, reason = "the formats' own names")]
#[expect(missing_docs, reason = "the formats' own names")]
pub enum BlockFormat {
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Iq4_Nl,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// What the blocks of a format have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    name: &'static str,
    /// Numbers of a block.
    elements: usize,
    /// Bytes of a block.
    bytes: usize,
    /// Numbers that share `s` and `t`.
    group: usize,
    /// The integer that stands for 0.
    zero: u8,
    /// Whether there are `m` and `t`.
    affine: bool,
    /// Whether the integers are below 16.
    nibble: bool,
}

impl BlockFormat {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Iq4_Nl,
        Self::Q2_K,
        Self::Q3_K,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// Those that [`quantise`] writes.
    pub const WRITTEN: [Self; 5] = [Self::Q8_0, Self::Q4_0, Self::Q4_K, Self::Q5_K, Self::Q6_K];

    pub(crate) fn layout(self) -> Layout {
        let (name, elements, bytes, group, zero, affine, nibble) = match self {
            Self::Q8_0 => ("q8_0", 32, 34, 32, 128, false, false),
            Self::Q4_0 => ("q4_0", 32, 18, 32, 8, false, true),
            Self::Q4_1 => ("q4_1", 32, 20, 32, 0, true, true),
            Self::Q5_0 => ("q5_0", 32, 22, 32, 16, false, false),
            Self::Q5_1 => ("q5_1", 32, 24, 32, 0, true, false),
            Self::Iq4_Nl => ("iq4_nl", 32, 18, 32, 128, false, false),
            Self::Q2_K => ("q2_k", 256, 84, 16, 0, true, true),
            Self::Q3_K => ("q3_k", 256, 110, 16, 4, false, true),
            Self::Q4_K => ("q4_k", 256, 144, 32, 0, true, true),
            Self::Q5_K => ("q5_k", 256, 176, 32, 0, true, false),
            Self::Q6_K => ("q6_k", 256, 210, 16, 32, false, false),
        };
        Layout { name, elements, bytes, group, zero, affine, nibble }
    }

    /// The name, in small letters.
    pub fn name(self) -> &'static str {
        self.layout().name
    }

    /// The format of that name, in small or capital letters.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name().eq_ignore_ascii_case(name))
    }

    /// Numbers of a block.
    pub fn elements(self) -> usize {
        self.layout().elements
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        self.layout().bytes
    }

    /// Bytes of `n` numbers; `None` where they don't fill whole blocks, or nobody has so many bytes.
    pub fn bytes_of(self, n: usize) -> Option<usize> {
        n.is_multiple_of(self.elements()).then(|| (n / self.elements()).checked_mul(self.block_bytes())).flatten()
    }
}

/// The numbers that `blocks` stand for, exactly as ggml computes them.
///
/// # Panics
/// If the lengths don't belong together.
pub fn dequantise(format: BlockFormat, blocks: &[u8], values: &mut [f32]) {
    let layout = format.layout();
    crate::expect_len("blocks", blocks.len(), format.bytes_of(values.len()).unwrap_or(usize::MAX));
    let mut parts = Parts::new();
    for (block, values) in blocks.chunks_exact(layout.bytes).zip(values.chunks_exact_mut(layout.elements)) {
        parts.take_apart(format, block);
        for (g, values) in values.chunks_exact_mut(layout.group).enumerate() {
            let (scale, offset) = parts.group(g);
            for (value, &u) in values.iter_mut().zip(&parts.u[g * layout.group..]) {
                let product = scale * f32::from(i16::from(u) - i16::from(layout.zero));
                *value = if layout.affine { product + offset } else { product };
            }
        }
    }
}
