//! Bengio's feed-forward model (Bengio, Ducharme, Vincent and Jauvin 2003, “A Neural Probabilistic Language Model”): the next
//! word from the vectors of the last few. The bridge from n-grams, whose short memory it shares, to all later models, which
//! have its word vectors.

mod network;
mod shape;
mod stage;

pub use network::{Network, State};
pub use shape::Shape;
pub use stage::{FeedForwardConfig, FeedForwardStage};
