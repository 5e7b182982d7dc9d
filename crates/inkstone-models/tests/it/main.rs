//! The models: names, costs, caches, documents, folders, and byte-equality over threads.
#![allow(clippy::unwrap_used, reason = "tests")]

mod llama;
