//! Parameter-efficient tuning: small changes around a frozen model, or a small part of its weights.
//!
//! An adapter is wrapped around projections by a source of weights, or merged into their numbers by one ([`inkstone_models::Over`]); no model knows of it.
//! What is merely chosen (biases, norms, blocks) is trained in place. Either way the rest of the weights is frozen: it costs
//! no gradient and no moments.

pub mod adapter;
mod bottleneck;
mod chosen;
mod frozen;
mod ia3;
mod intrinsic;
mod lora;
mod prefix;
mod prompt;
mod table;

pub use adapter::{Adapter, AdapterError};
pub use frozen::FrozenBase;
pub(crate) use table::Tuning;
pub use table::{BASE, PeftTable, merged};
