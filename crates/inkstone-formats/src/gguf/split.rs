//! Files in parts, as `gguf-split` writes them: each is a GGUF file, the first has all other metadata, and their names end in
//! `-00001-of-00003.gguf`.

use std::path::PathBuf;

use super::{GgufFile, GgufValue, wrong};
use crate::FormatError;

const NUMBER: &str = "split.no";
const COUNT: &str = "split.count";

/// The paths of the other parts, in their order; none of a file that is whole.
pub(super) fn others(first: &GgufFile) -> Result<Vec<PathBuf>, FormatError> {
    let (number, count) = place(first);
    if count <= 1 {
        return Ok(Vec::new());
    }
    let refused = |detail: String| Err(wrong(first.path(), 0, detail));
    if number != 0 {
        return refused(format!("this is part {} of {count}: open the first one", number + 1));
    }
    let name = first.path().file_name().unwrap_or_default().to_string_lossy();
    match name.strip_suffix(&ending(0, count)) {
        Some(stem) => {
            Ok((1..count).map(|n| first.path().with_file_name(format!("{stem}{}", ending(n, count)))).collect())
        }
        None => refused(format!("the first of {count} parts has a name that ends in {}", ending(0, count))),
    }
}

/// Refuses a file that is not part `number` (from 0) of the same whole.
pub(super) fn expect_part(part: &GgufFile, number: u64, first: &GgufFile) -> Result<(), FormatError> {
    let (expected, got) = ((number, place(first).1), place(part));
    if got == expected {
        return Ok(());
    }
    let detail = format!("part {} of {}, expected part {} of {}", got.0 + 1, got.1, expected.0 + 1, expected.1);
    Err(wrong(part.path(), 0, detail))
}

/// Which part of how many a file is.
fn place(file: &GgufFile) -> (u64, u64) {
    let number = |key: &str, default: u64| file.get(key).and_then(GgufValue::as_u64).unwrap_or(default);
    (number(NUMBER, 0), number(COUNT, 1))
}

fn ending(number: u64, count: u64) -> String {
    format!("-{:05}-of-{count:05}.gguf", number + 1)
}
