//! Texts that a training must not have read, found again by runs of words (arXiv:2005.14165, appendix C).

use std::cell::Cell;
use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use inkstone_recipe::Context;
use serde_json::Value;

use crate::document::Split;
use crate::error::CorpusError;
use crate::judged::read_judged;
use crate::read::open::{Watch, open_text};
use crate::read::source::{Source, expand};
use crate::read::{Content, Format, Place, ReadOptions, Sink, Unit, read_records};
use crate::settings::one_mebibyte;

/// Words of a run.
const RUN: usize = 13;

/// Runs of words of evaluation sets.
#[derive(Debug, Default)]
pub(crate) struct Overlap {
    /// Hashes of runs, and of whole texts that are shorter.
    runs: HashSet<u64>,
}

impl Overlap {
    /// The texts of all records of files, and the judged questions of the input `apart_from`, where there is one.
    pub(crate) fn read(paths: &[String], context: &Context<'_>, judged: bool) -> Result<Self, CorpusError> {
        let mut overlap = Self::default();
        for path in expand(paths, &context.base, Format::Auto)? {
            overlap.add_file(&path, context)?;
        }
        if judged {
            for question in read_judged(&context.input("apart_from").folder, Split::Validation)? {
                overlap.add(&question.question);
            }
        }
        Ok(overlap)
    }

    fn add_file(&mut self, path: &Path, context: &Context<'_>) -> Result<(), CorpusError> {
        let source = Source::new(path.to_owned(), &context.base, Format::Auto)?;
        let task = context.progress.task("reading what is kept apart", Some(source.bytes), "B");
        let watch = Rc::new(Watch { task: task.as_ref(), interrupt: context.interrupt, done: Cell::new(0) });
        let (format, unit, max_document_bytes) = (source.format, Unit::Line, one_mebibyte());
        let options = ReadOptions { path, format, unit, max_document_bytes };
        if format == Format::Parquet {
            let file = std::fs::File::open(path).map_err(CorpusError::io(path))?;
            return crate::read::parquet::read_parquet(file, path, None, self);
        }
        read_records(&mut open_text(path, &watch)?, &options, self)
    }

    /// Remembers the runs of a text.
    pub(crate) fn add(&mut self, text: &str) {
        let words = words(text);
        if words.len() <= RUN {
            self.runs.extend((!words.is_empty()).then(|| hash(&words)));
        } else {
            self.runs.extend(words.windows(RUN).map(hash));
        }
    }

    /// Whether a text has a run that is remembered, or is one.
    pub(crate) fn contains(&self, text: &str) -> bool {
        let words = words(text);
        self.runs.contains(&hash(&words)) || words.windows(RUN).any(|run| self.runs.contains(&hash(run)))
    }
}

impl Sink for Overlap {
    fn record(&mut self, _: Place, content: Content<'_>) -> Result<(), CorpusError> {
        match content {
            Content::Value(value) => self.add_all(&value),
            Content::Text(text) => self.add(text),
        }
        Ok(())
    }

    /// What can't be read can't be met in training either.
    fn bad(&mut self, _: Place, _: String) -> Result<(), CorpusError> {
        Ok(())
    }
}

impl Overlap {
    /// Remembers the strings of a record.
    fn add_all(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.add(text),
            Value::Array(all) => all.iter().for_each(|value| self.add_all(value)),
            Value::Object(map) => map.values().for_each(|value| self.add_all(value)),
            _ => {}
        }
    }
}

/// The words of a text in small letters, without what stands between them; of scripts without spaces every character.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut goes_on = false;
    for c in text.chars().flat_map(char::to_lowercase) {
        let alone = is_ideograph(c);
        match words.last_mut() {
            _ if !c.is_alphanumeric() => {}
            Some(word) if goes_on && !alone => word.push(c),
            _ => words.push(c.to_string()),
        }
        goes_on = c.is_alphanumeric() && !alone;
    }
    words
}

fn is_ideograph(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{9FFF}' | '\u{20000}'..='\u{3FFFF}')
}

fn hash(words: &[String]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for word in words {
        hasher.update(word.as_bytes()).update(b" ");
    }
    u64::from_le_bytes(std::array::from_fn(|at| hasher.finalize().as_bytes()[at]))
}

#[cfg(test)]
mod tests {
    use super::{Overlap, words};

    #[test]
    fn words_are_told_apart_in_both_scripts() {
        assert_eq!(words("The cat's 2nd—nap."), ["the", "cat", "s", "2nd", "nap"]);
        assert_eq!(words("砚台 is墨a"), ["砚", "台", "is", "墨", "a"]);
    }

    #[test]
    fn short_texts_are_found_whole_and_long_ones_by_a_run() {
        let mut overlap = Overlap::default();
        overlap.add("Where does Ann live?");
        overlap.add("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen");
        assert!(overlap.contains("where does ann LIVE"));
        assert!(!overlap.contains("Tell me: where does Ann live?"));
        assert!(
            overlap.contains("zero, three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen!")
        );
        assert!(!overlap.contains("one two three four five six seven eight nine ten eleven twelve"));
        assert!(!overlap.contains(""));
    }
}
