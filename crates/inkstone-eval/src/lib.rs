//! Tasks, metrics and confidence intervals.

mod error;
pub use inkstone_train::interval;
pub mod questions;
mod stage;
pub mod text;

pub use error::EvalError;
pub use inkstone_corpus::answer::normalise;
pub use stage::EvaluateStage;
pub use text::{TextLoss, text_ids, text_loss};
