//! Tasks, metrics and confidence intervals.

mod error;
pub use inkstone_train::interval;
pub mod metrics;
pub mod questions;
mod score;
mod stage;
pub mod text;

pub use error::EvalError;
pub use inkstone_corpus::answer::normalise;
pub use score::ScoreStage;
pub use stage::EvaluateStage;
pub use text::{TextLoss, text_ids, text_loss};
