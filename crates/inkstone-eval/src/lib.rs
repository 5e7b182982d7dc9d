//! Tasks, metrics and confidence intervals.

mod compare;
mod error;
pub use inkstone_train::interval;
pub mod questions;
mod stage;
pub mod text;
pub mod win_rate;

pub use compare::{COMPARISON_FILE, CompareConfig, CompareStage};
pub use error::EvalError;
pub use inkstone_corpus::answer::normalise;
pub use stage::EvaluateStage;
pub use win_rate::WinRateStage;
pub use text::{TextLoss, text_ids, text_loss};
