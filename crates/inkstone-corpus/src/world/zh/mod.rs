//! Chinese.

pub(crate) mod duties;
pub(crate) mod frames;
pub(crate) mod people;
pub(crate) mod things;
