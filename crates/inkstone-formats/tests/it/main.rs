//! What is written is read back, and no damage to a file makes a reader do anything but say so.
#![allow(clippy::unwrap_used, reason = "tests")]

mod damage;
mod gguf;
mod hf;
mod safetensors;
mod tensorboard;
mod torch;
