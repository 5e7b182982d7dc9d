//! Tests of training's parts against outside programs and of what must always hold.
#![allow(clippy::unwrap_used, reason = "tests")]

mod peft;
mod policy;
mod preference;
