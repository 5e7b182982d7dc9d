//! The `compare` stage: models of all generations on the same held-out tokens, alone and interpolated.

mod judge;
mod mixture;
mod stage;

pub use stage::{COMPARISON_FILE, CompareConfig, CompareStage};
