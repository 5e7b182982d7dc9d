//! Learning from preferences without a reward model: `DPO` and its kin, one file each.
//!
//! Every loss is a function of the log-probabilities of whole answers, under the policy (with a graph) and under the reference
//! (numbers that are computed once). A loss may not see anything else.

pub(crate) mod data;
pub mod dpo;
pub mod ipo;
pub mod kto;
mod loss;
mod objective;
pub mod orpo;
pub mod simpo;
mod stage;

pub(crate) use data::{Encoded, Pair, Pairs, Reading, draw, order, padded};
pub use loss::{Answers, Loss, LossTable, log_sigmoid};
pub(crate) use objective::{Preferred, numbers};
pub use stage::{PreferenceConfig, PreferenceStage};
