//! The models: names, costs, caches, documents, folders, byte-equality over threads, and parity with PyTorch.
#![allow(clippy::unwrap_used, reason = "tests")]

mod architectures;
mod heads;
mod llama;
mod parity;
