//! Hugging Face folders, safetensors, GGUF and TensorBoard events: reader and writer side by side.
//!
//! This crate knows how bytes are laid out and never what the numbers mean. Every file that it reads is taken for hostile:
//! sizes are bounded before anything is allocated, offsets are checked before they are followed, and an error names the
//! file, the tensor and what was expected. Every model file that it writes is written aside, synced and renamed, and its
//! bytes depend on nothing but what was asked for.
//!
//! - [`safetensors`]: [`TensorFile`](safetensors::TensorFile) (memory-mapped), [`write_tensors`](safetensors::write_tensors).
//! - [`hf`]: [`ModelFolder`](hf::ModelFolder) and [`write_model`](hf::write_model), one file or shards with an index.
//! - [`peft`]: [`PeftFolder`](peft::PeftFolder) and [`write_adapter`](peft::write_adapter), adapters.
//! - [`gguf`]: [`GgufFile`](gguf::GgufFile) (memory-mapped) and [`GgufWriter`](gguf::GgufWriter).
//! - [`torch`]: [`TorchFile`](torch::TorchFile), the pickles of PyTorch, read without being executed.
//! - [`tensorboard`]: [`EventWriter`](tensorboard::EventWriter) and [`read_events`](tensorboard::read_events).

mod aside;
mod error;
pub mod gguf;
pub mod hf;
pub mod peft;
pub mod safetensors;
pub mod tensorboard;
pub mod torch;

pub use error::FormatError;
