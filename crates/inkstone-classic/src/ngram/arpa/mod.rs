//! The ARPA format, in which most programs exchange back-off models: text, one n-gram a line, log₁₀ of its probability before
//! it and log₁₀ of its back-off weight after it.
//!
//! Lines before `\data\` must begin with `#` to be read by KenLM; there we note what a word is.

mod number;
mod read;
mod write;

pub use read::read_arpa;
pub(in crate::ngram) use write::write_aside;
pub use write::{ArpaWriter, write_arpa, write_table};
