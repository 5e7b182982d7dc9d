//! The table of stage kinds.

use crate::stage::Stage;

/// The stage kinds that a program knows.
#[derive(Default)]
pub struct Registry {}

impl Registry {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a kind. The last one added under a name wins.
    pub fn add<S: Stage>(&mut self) -> &mut Self {
        self
    }
}
