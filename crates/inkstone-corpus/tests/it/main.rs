//! Texts, conversations, shards and batches, from the outside.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod bad_input;
mod chat;
mod corpus;
mod examples;
mod loader;
mod real;
mod shards;
mod support;
mod world;
