//! A model in a folder, with all that is needed to use it: what a stage makes, and what `generate` and `eval` open.

use std::path::Path;

use inkstone_tokenizer::Tokenizer;

use super::model::{Model, Table, write_model};
use super::unit::{Splitter, Unit};
use crate::error::{ClassicError, Result};

/// The model's file in its folder.
pub const MODEL_FILE: &str = "model.ngram";

/// Whether a folder holds an n-gram model.
pub fn is_ngram_folder(folder: &Path) -> bool {
    folder.join(MODEL_FILE).is_file()
}

/// Writes a model and its tokenizer into a folder. `bits` is the width of a logarithm in the file.
pub fn save(folder: &Path, table: &Table, splitter: &Splitter, bits: u32) -> Result<()> {
    write_model(&folder.join(MODEL_FILE), table, Some(splitter.unit()), Some(bits))?;
    splitter.tokenizer().map_or(Ok(()), |tokenizer| Ok(tokenizer.save(folder)?))
}

/// Opens what [`save`] wrote.
pub fn load(folder: &Path) -> Result<(Model, Splitter)> {
    let path = folder.join(MODEL_FILE);
    let model = Model::open(&path)?;
    let unit = model.unit().ok_or_else(|| ClassicError::Model {
        path,
        what: "unit",
        expected: "words, characters or tokens".into(),
        got: "none".into(),
    })?;
    let tokenizer = (unit == Unit::Tokens).then(|| Tokenizer::load(folder)).transpose()?;
    Ok((model, Splitter::new(unit, tokenizer)?))
}
