//! Tasks, metrics and confidence intervals.

mod answer;
mod error;
pub mod interval;
pub mod questions;
mod stage;
pub mod text;

pub use answer::normalise;
pub use error::EvalError;
pub use stage::EvaluateStage;
pub use text::{TextLoss, text_ids, text_loss};
