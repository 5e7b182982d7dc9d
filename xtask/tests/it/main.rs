//! Tests that concern no crate alone.
#![allow(clippy::unwrap_used, reason = "tests")]

mod mutations;
