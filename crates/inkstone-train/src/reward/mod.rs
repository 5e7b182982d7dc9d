//! The reward model (arXiv:2203.02155, section 3.5): a score for an answer, learnt from pairs.

mod judge;
mod objective;
mod stage;

pub use judge::{Judgement, judge};
pub use objective::pair_losses;
pub(crate) use objective::scores;
pub use stage::{RewardConfig, RewardStage};
