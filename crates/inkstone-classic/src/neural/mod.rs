//! What the networks of this crate have in common: weights by name, a folder, and one way to learn a text.
//!
//! A network is a [`LanguageModel`]; what it computes, forward and backward, stands in its own module.

mod any;
mod checkpoint;
mod columns;
mod exact;
mod language_model;
pub(crate) mod stage;
mod tensors;
mod train;

pub use any::{AnyModel, AnyState};
pub(crate) use checkpoint::Checkpoint;
pub use columns::mean_loss;
pub(crate) use exact::{bits, bits_option};
pub use language_model::{Dropout, LanguageModel, Layout, leave_out};
pub(crate) use language_model::{check_tensors, check_widths, refused};
pub use stage::Precision;
pub use tensors::{Tensor, Tensors};
pub use train::{Epoch, Lesson, Optimizer, Training, Watch, train};
