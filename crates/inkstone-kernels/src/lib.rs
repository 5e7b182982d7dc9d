//! The hot loops on plain slices, each beside its plain reference.
//!
//! Everything is row-major; arithmetic is in f32, and where a function leaves the type of a slice open it may hold f32 or bfloat16 ([`Number`]). Work is cut by shape, never by the number of threads, and every
//! sum has one order, so results are the same at any number of threads. Loops are compiled for
//! several instruction sets and chosen at start; only matrix products may differ between them.

#![allow(clippy::inline_always, reason = "loops must be compiled inside the function that chose the instruction set")]
#![allow(unsafe_code, reason = "strided blocks of one output are written by several threads; each block has its proof")]

mod adamw;
mod attention;
mod awake;
mod bf16;
mod bias;
mod cross_entropy;
mod elementwise;
mod embedding;
mod exp;
mod frozen;
mod gelu;
pub mod isa;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod logistic;
mod norm;
mod number;
mod packed;
mod paged;
mod product;
pub mod profile;
pub mod quantised;
mod recurrent;
mod reduce;
pub mod reference;
mod rope;
mod scratch;
mod simd;

pub use adamw::{AdamW, adamw};
pub use attention::{
    AttentionGrads, AttentionSaved, AttentionShape, PackedAttentionSaved, attention, attention_backward,
    packed_attention, packed_attention_backward,
};
pub use awake::awake;
pub use bias::{add_bias, add_bias_backward};
pub use cross_entropy::{cross_entropy, cross_entropy_backward};
pub use elementwise::{add, add_scaled, scale, sum_of_squares, swiglu, swiglu_backward};
pub use embedding::{embedding, embedding_backward};
pub use frozen::{FrozenFormat, FrozenWeight};
pub use gelu::{Gelu, gelu, gelu_backward};
pub use layer_norm::{LayerNormGrads, layer_norm, layer_norm_backward};
pub use linear::{LinearShape, Precision, add_linear_grad_input, linear, linear_grad_input, linear_grad_weight};
pub use linear_cross_entropy::{LinearCrossEntropy, LinearCrossEntropyGrads, linear_cross_entropy};
pub use logistic::{ROW_LANES, add_rows, logistic_step};
pub use norm::{rms_norm, rms_norm_backward};
pub use number::{Number, load, narrow};
pub use packed::PackedWeight;
pub use paged::{BLOCK_POSITIONS, PagedBlock, PagedQuery, PagedShape, Stored, paged_attention};
pub use recurrent::{Cell, CellBackward, CellStep, cell, cell_backward};
pub use rope::{RopeShape, rope};

/// Panics with the name of a slice whose length is not what the shapes say.
#[track_caller]
fn expect_len(name: &str, got: usize, expected: usize) {
    assert!(got == expected, "{name} has {got} elements, expected {expected}");
}
