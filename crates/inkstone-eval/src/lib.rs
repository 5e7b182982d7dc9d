//! Tasks, metrics and confidence intervals.

pub mod compare;
mod error;
pub use inkstone_train::interval;
pub mod questions;
mod stage;
pub mod text;

pub use compare::CompareStage;
pub use error::EvalError;
pub use inkstone_corpus::answer::normalise;
pub use stage::EvaluateStage;
pub use text::{TextLoss, text_ids, text_loss};
