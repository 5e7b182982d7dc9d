//! Recurrent language models: Elman's network, LSTM and GRU, with a hand-written backward pass.
//!
//! Trained by truncated back-propagation through time with the state carried from batch to batch; weights have
//! PyTorch's names and order of gates.

mod layer;
mod model;
mod network;
mod shape;
mod stage;
mod tensors;
mod train;

pub use model::MODEL_TYPE;
pub use network::{Dropout, Network, State};
pub use shape::{Kind, Shape};
pub use stage::{RecurrentConfig, RecurrentStage};
pub use tensors::{Tensor, Tensors};
pub use train::{Epoch, Optimizer, Training, Watch, descend, mean_loss, stream, train};
