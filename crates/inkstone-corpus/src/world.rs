//! The sample world: a town with people, places and events, drawn from a seed, and texts about it in English and Chinese.
//!
//! Because the facts are known, every answer of a model has a truth to be compared with. Sentences are composed of
//! openers, clauses, connectives and endings, so that they rarely repeat; questions for the evaluation use phrasings that occur in no
//! training text.

mod duties;
mod en;
mod facts;
mod names;
mod phrases;
mod prose;
mod stage;
mod talk;
mod tongue;
mod zh;

pub use facts::{Entity, Fact, Gender, Name, Relation, Town};
pub use stage::{WorldConfig, WorldStage};
