//! Tasks, metrics and confidence intervals.

mod compare;
mod error;
pub use inkstone_train::interval;
pub mod metrics;
pub mod questions;
mod score;
mod stage;
pub mod text;
pub mod win_rate;

pub use compare::{COMPARISON_FILE, CompareConfig, CompareStage};
pub use error::EvalError;
pub use inkstone_corpus::answer::normalise;
pub use score::ScoreStage;
pub use stage::EvaluateStage;
pub use text::{TextLoss, text_ids, text_loss};
pub use win_rate::WinRateStage;
