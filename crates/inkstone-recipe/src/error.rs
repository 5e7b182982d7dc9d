//! What can go wrong around recipes and artifacts.

/// What can go wrong around recipes and artifacts.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The disk said no.
    #[error(transparent)]
    Io(#[from] crate::fs::IoError),
}

impl RecipeError {
    /// What the user can do about it, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.hint().map(str::to_owned),
        }
    }
}
