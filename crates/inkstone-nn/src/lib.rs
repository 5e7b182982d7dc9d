//! The layers that papers call by name, over the tensor library, and [`Projection`], the one seam
//! that adapted, quantised, pruned and sharded weights plug into.
//!
//! [`ops`] is the one place that knows the tensor library's inside: on the CPU device each
//! operation runs a kernel of `inkstone-kernels` with its own backward; on any other device it is
//! composed of the library's operations.

mod activation;
mod adapted;
mod boxed;
mod draws;
mod layers;
mod moments;
pub mod ops;
mod parameters;
mod projection;

pub use activation::Activation;
pub use adapted::{
    Adapted, Bottleneck, BottleneckWeights, Change, Directions, Dropout, LowRank, LowRankWeights, Scaled,
};
pub use boxed::Boxed;
pub use burn::tensor::{Device, Gradients, Tensor, TensorData};
pub use draws::mix;
pub use inkstone_kernels::quantised::{BlockFormat, Packed};
pub use inkstone_kernels::{FrozenFormat, FrozenWeight, Gelu, Precision};
pub use layers::{Blocks, Embedding, LayerNorm, QuantisedTable, RmsNorm, Table, parameter};
pub use moments::Moments;
pub use parameters::{
    Gradient, train_only, update_parameters, update_trainable, visit_gradients, visit_parameters, visit_trainable,
};
pub use projection::{Conv1d, Dense, Frozen, Projection, ProjectionWeights, Quantised, Watched};

/// The CPU, without a graph: for inference.
pub fn device() -> Device {
    Device::flex()
}

/// The CPU with a graph of what is computed: for training.
pub fn training_device() -> Device {
    Device::flex().autodiff()
}
