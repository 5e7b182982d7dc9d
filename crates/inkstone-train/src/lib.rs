//! Objectives, optimisers, schedules, the one training loop and checkpoints.
//!
//! [`trainer::train`] is the loop; [`pretrain`] and [`sft`] are the stages that call it. What a
//! batch is comes from `inkstone-corpus`, what a model is from `inkstone-models`; nothing here
//! knows the command line.

pub mod bench;
pub mod checkpoint;
pub mod config;
mod data;
mod error;
mod finetune;
pub mod interval;
mod log;
pub mod objective;
pub mod optimizer;
pub mod peft;
pub mod policy;
pub mod preference;
pub mod pretrain;
pub mod probe;
pub mod reward;
pub mod schedule;
pub mod sft;
mod stage;
pub mod trainer;
pub mod validation;

pub use error::TrainError;
pub use finetune::{FinetuneStage, TaskTable, dictionary_marks, text_source};
pub use inkstone_tokenizer::stages::MODELS;
pub use policy::{BestOfStage, FeedbackStage, PolicyStage};
pub use preference::PreferenceStage;
pub use pretrain::{Positions, PretrainStage, positions_behind};
pub use reward::RewardStage;
pub use sft::SftStage;

/// The name of the span of a training step, in a profile of the kernels.
pub const STEP: &str = "step";
