//! N-gram language models.
//!
//! [`Corpus`] turns texts into word ids, [`estimate`](fn@estimate) makes a back-off model of them in streams, [`arpa`] writes and reads the
//! format that other programs know, [`model`] answers queries, [`prune`] makes models smaller. [`reference`](mod@reference) is the textbook, kept as the oracle.

pub mod arpa;
mod cache;
pub mod classes;
pub mod count;
pub mod estimate;
mod evaluate;
mod explain;
pub mod folder;
mod generate;
pub mod model;
mod prune;
pub mod reference;
pub mod smoothing;
mod stage;
mod talk;
mod text;
mod unit;
mod vocabulary;

pub use cache::Cache;
pub use estimate::{Estimate, Training, estimate};
pub use evaluate::{Evaluation, Mixture, evaluate, evaluate_documents};
pub use explain::{Counted, Counts, Explained, Step, explain};
pub use generate::{Drawing, generate};
pub use model::Model;
pub use prune::prune;
pub use smoothing::{Discounts, Smoothing};
pub use stage::{NgramConfig, NgramStage, warn_of_fallbacks};
pub use talk::Talk;
pub use text::{Corpus, pieces};
pub use unit::{Splitter, Unit};
pub use vocabulary::{BEGIN, END, SPECIALS, UNKNOWN, Vocabulary, WordId};
