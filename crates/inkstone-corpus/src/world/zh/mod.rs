//! Chinese.

pub(crate) mod frames;
pub(crate) mod people;
pub(crate) mod things;
