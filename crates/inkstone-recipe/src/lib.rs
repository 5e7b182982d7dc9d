//! The recipe language, its graph, the artifact store, lineage, plan, cache and verify.
//!
//! A recipe is a TOML file of named stages. A [`Stage`] reads input artifacts and a config, and
//! writes exactly one output artifact: a folder with a `manifest.json`. This crate knows what a
//! stage is, never what one computes.

mod artifact;
mod attempt;
mod de;
mod error;
mod graph;
mod key;
mod lock;
mod measure;
mod suggest;
mod survey;
mod tree;
mod upstream;

pub mod diff;
pub mod fs;
pub mod gc;
pub mod hash;
pub mod lineage;
pub mod ls;
pub mod manifest;
pub mod plan;
pub mod progress;
pub mod recipe;
pub mod registry;
pub mod run;
pub mod stage;
pub mod store;
pub mod time;
pub mod verify;

pub use diff::{Change, Diff, diff};
pub use error::RecipeError;
pub use gc::{GcReport, gc};
pub use lineage::{Lineage, lineage};
pub use lock::StoreLock;
pub use ls::{Listed, list};
pub use manifest::{Artifact, ArtifactId, ContentId, Cost, FileEntry, Key, Manifest, Metrics};
pub use measure::peak_bytes;
pub use plan::{Measure, Plan, PlannedStage, plan};
pub use progress::{Interrupt, Progress, Silent, Task};
pub use recipe::Recipe;
pub use registry::Registry;
pub use run::{Options, RunEnvironment, RunReport, StageReport, run};
pub use stage::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Stage, StageError};
pub use store::Store;
pub use tree::Place;
pub use upstream::{Ancestor, Upstream};
pub use verify::{Outcome, VerifyReport, verify};
