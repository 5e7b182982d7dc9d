//! The way out of an error, where the user can act.

use std::error::Error;

use inkstone_classic::ClassicError;
use inkstone_compress::CompressError;
use inkstone_engine::EngineError;
use inkstone_eval::EvalError;
use inkstone_formats::FormatError;
use inkstone_models::ModelError;
use inkstone_recipe::RecipeError;
use inkstone_recipe::fs::IoError;
use inkstone_server::ServerError;
use inkstone_tokenizer::TokenizerError;

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

impl Error for Hinted {}

/// An error that says what is wrong and what to do.
pub(crate) fn hinted(message: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
    Hinted { message: message.into(), hint: hint.into() }.into()
}

/// The hint of the first cause that has one.
pub(crate) fn hint_of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(hint_of_cause)
}

fn hint_of_cause(cause: &(dyn Error + 'static)) -> Option<String> {
    let own = |error: &Hinted| Some(error.hint.clone());
    ask(cause, own)
        .or_else(|| ask(cause, RecipeError::hint))
        .or_else(|| ask(cause, |error: &IoError| error.hint().map(str::to_owned)))
        .or_else(|| ask(cause, TokenizerError::hint))
        .or_else(|| ask(cause, ClassicError::hint))
        .or_else(|| ask(cause, EvalError::hint))
        .or_else(|| ask(cause, |error: &ServerError| error.hint().map(str::to_owned)))
        .or_else(|| ask(cause, |error: &CompressError| error.hint().map(str::to_owned)))
        .or_else(|| ask(cause, |error: &EngineError| error.hint().map(str::to_owned)))
        .or_else(|| ask(cause, |error: &ModelError| error.hint().map(str::to_owned)))
        .or_else(|| ask(cause, |error: &FormatError| error.hint().map(str::to_owned)))
}

/// What an error of type `E` advises.
fn ask<E: Error + 'static>(cause: &(dyn Error + 'static), hint: impl Fn(&E) -> Option<String>) -> Option<String> {
    cause.downcast_ref::<E>().and_then(hint)
}
