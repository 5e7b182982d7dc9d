//! The way out of an error, where the user can act.

use inkstone_recipe::RecipeError;

/// An error with a hint of the program's own.
#[derive(Debug)]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

impl std::fmt::Display for Hinted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// An error that says what is wrong and what to do.
pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { message: message.into(), hint: hint.into() }.into()
}

/// The hint of the first cause that has one.
pub(crate) fn hint_of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let own = cause.downcast_ref::<Hinted>().map(|error| error.hint.clone());
        let recipe = || cause.downcast_ref::<RecipeError>().and_then(RecipeError::hint);
        let tokenizer = || {
            cause
                .downcast_ref::<inkstone_tokenizer::TokenizerError>()
                .and_then(inkstone_tokenizer::TokenizerError::hint)
        };
        let classic =
            || cause.downcast_ref::<inkstone_classic::ClassicError>().and_then(inkstone_classic::ClassicError::hint);
        own.or_else(recipe).or_else(tokenizer).or_else(classic)
    })
}
