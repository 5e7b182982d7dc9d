//! The recipe language, its graph, the artifact store, lineage, plan, cache and verify.
//!
//! A recipe is a TOML file of named stages. A [`Stage`] reads input artifacts and a config, and
//! writes exactly one output artifact: a folder with a `manifest.json`. This crate knows what a
//! stage is, never what one computes.

pub mod manifest;
pub mod progress;
pub mod stage;

pub use manifest::{Artifact, ContentId, Key, Manifest, Metrics};
pub use progress::{Interrupt, Progress, Silent, Task};
pub use stage::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Stage, StageError};
