//! Tests of the tokenizer crate through its public face.

#![allow(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "skips are reported")]

mod bad_input;
mod chat;
mod decoding;
mod determinism;
mod folders;
mod older;
mod parity;
mod roundtrip;
mod stages;
mod support;
mod training;
