//! The `score` stage: a model answers the examples of a task as text, and its answers are compared with the right ones.

mod answer;
mod stage;

pub use stage::ScoreStage;
