//! Recurrent language models: Elman's network, LSTM and GRU, with a hand-written backward pass.
//!
//! Trained by truncated back-propagation through time with the state carried from batch to batch; weights have
//! PyTorch's names and order of gates.

mod layer;
mod network;
mod shape;
mod stage;

pub use network::{Network, State};
pub use shape::{Kind, Shape};
pub use stage::{RecurrentConfig, RecurrentStage};
