//! The engine against plain generation.
#![allow(clippy::unwrap_used, reason = "tests")]

mod beams;
mod features;
mod paging;
mod sameness;
mod support;
mod translation;
