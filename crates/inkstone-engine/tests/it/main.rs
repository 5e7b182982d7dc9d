//! The engine against plain generation.

mod features;
mod paging;
mod sameness;
mod support;
