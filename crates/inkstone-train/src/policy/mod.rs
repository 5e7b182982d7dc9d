//! Learning from rewards: `PPO`, `GRPO` and `RLOO`, one file each, over answers that the policy itself gives.
//!
//! An iteration: the policy answers some prompts, each a few times ([`rollout`]); the answers are judged ([`reward`]); the
//! algorithm turns rewards into an advantage for every token; a few steps of the clipped objective follow ([`surrogate`]).
//! All of it is an [objective](crate::objective::Objective) of the one training loop.

mod algorithm;
mod asker;
pub mod best_of;
mod feedback;
pub mod grpo;
mod objective;
pub mod penalty;
pub mod ppo;
mod prompts;
mod ptx;
pub mod reward;
pub mod rloo;
pub mod rollout;
mod stage;
pub mod surrogate;

pub use algorithm::AlgorithmTable;
pub use best_of::BestOfStage;
pub use feedback::{FeedbackConfig, FeedbackStage};
pub use ptx::PretrainingMix;
pub use stage::{PolicyConfig, PolicyStage};
