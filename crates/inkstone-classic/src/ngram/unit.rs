//! What a word is.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};

use super::vocabulary::SPECIALS;
use crate::error::{ClassicError, Result};

/// What the model calls a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// What stands between white space; a line is a sentence.
    Words,
    /// A Unicode scalar value; a line is a sentence.
    Characters,
    /// An id of a tokenizer, written as a number; a document is a sentence.
    Tokens,
}

/// What begins our note in an ARPA file.
const NOTE: &str = "# inkstone unit=";

impl Unit {
    /// Its name in recipes, notes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Characters => "characters",
            Self::Tokens => "tokens",
        }
    }

    /// The unit of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Words, Self::Characters, Self::Tokens].into_iter().find(|unit| unit.name() == name)
    }

    /// A line that an ARPA file may begin with.
    pub fn note(self) -> String {
        format!("{NOTE}{}", self.name())
    }

    /// The unit that such a line names.
    pub fn from_note(line: &str) -> Option<Self> {
        line.strip_prefix(NOTE).and_then(Self::from_name)
    }
}

/// Cuts texts into sentences of words.
#[derive(Debug, Clone)]
pub struct Splitter {
    unit: Unit,
    tokenizer: Option<Arc<Tokenizer>>,
}

impl Splitter {
    /// For a unit; [`Unit::Tokens`] needs a tokenizer, the others have no use for one.
    pub fn new(unit: Unit, tokenizer: Option<Tokenizer>) -> Result<Self> {
        if (unit == Unit::Tokens) != tokenizer.is_some() {
            let (got, expected) = match unit {
                Unit::Tokens => {
                    ("tokens without a tokenizer".to_owned(), "words or characters, or come with a tokenizer")
                }
                unit => (format!("{} with a tokenizer", unit.name()), "tokens where there is a tokenizer"),
            };
            return Err(ClassicError::Setting { field: "unit", got, expected: expected.into() });
        }
        Ok(Self { unit, tokenizer: tokenizer.map(Arc::new) })
    }

    /// For a unit, with the tokenizer of a folder where the unit needs one.
    pub fn load(unit: Unit, tokenizer: Option<&Path>) -> Result<Self> {
        Self::new(unit, tokenizer.map(Tokenizer::load).transpose()?)
    }

    /// What it cuts into.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// The tokenizer whose ids are the words.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenizer.as_deref()
    }

    /// The sentences of a document: its lines; with a tokenizer, which has its own words for the ends of lines, all of it.
    pub fn sentences<'a>(&self, document: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        let whole = self.unit == Unit::Tokens;
        let end = move |c: char| !whole && c == '\n';
        let document = if whole { document } else { document.strip_suffix('\n').unwrap_or(document) };
        document.split(end)
    }

    /// Hands out the words of one sentence. `<s>` and `</s>` in a text are no words of it and passed over.
    pub fn split(&self, sentence: &str, mut then: impl FnMut(&str)) -> Result<()> {
        match (self.unit, &self.tokenizer) {
            (Unit::Tokens, Some(tokenizer)) => {
                for id in tokenizer.encode(sentence)? {
                    then(&id.to_string());
                }
            }
            (Unit::Characters, _) => {
                let mut bytes = [0; 4];
                sentence.chars().for_each(|c| match visible(c) {
                    Some(word) => then(&word),
                    None => then(c.encode_utf8(&mut bytes)),
                });
            }
            _ => words(sentence).filter(|word| !is_border(word)).for_each(then),
        }
        Ok(())
    }

    /// The text of words.
    pub fn join(&self, words: &[String]) -> Result<String> {
        if let Some(tokenizer) = &self.tokenizer {
            let ids: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
            return Ok(tokenizer.decode(&ids)?);
        }
        Ok(match self.unit {
            Unit::Characters => words.iter().filter_map(|word| character(word)).collect(),
            Unit::Words | Unit::Tokens => words.join(self.separator()),
        })
    }

    /// What stands between two words in a text.
    pub fn separator(&self) -> &'static str {
        if self.unit == Unit::Words { " " } else { "" }
    }
}

fn is_border(word: &str) -> bool {
    SPECIALS[1..].contains(&word)
}

/// What stands between white space as ARPA files know it; other white space of Unicode may be part of a word.
fn words(sentence: &str) -> impl Iterator<Item = &str> {
    sentence.split([' ', '\t', '\n', '\r', '\0', '\x0b', '\x0c']).filter(|word| !word.is_empty())
}

/// Stands for a space.
const SPACE: char = '▁';

/// How a character that an ARPA file can't hold is written.
fn visible(c: char) -> Option<Cow<'static, str>> {
    match c {
        ' ' => Some("▁".into()),
        c if c == SPACE || c.is_whitespace() || c.is_control() => Some(format!("<U+{:04X}>", u32::from(c)).into()),
        _ => None,
    }
}

/// The character that is written so.
fn character(word: &str) -> Option<char> {
    let mut chars = word.chars();
    match (chars.next(), chars.next()) {
        (Some(SPACE), None) => Some(' '),
        (Some(c), None) => Some(c),
        _ => {
            let code = word.strip_prefix("<U+")?.strip_suffix('>')?;
            u32::from_str_radix(code, 16).ok().and_then(char::from_u32)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Splitter, Unit};

    fn split(unit: Unit, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        Splitter::new(unit, None)
            .expect("no tokenizer needed")
            .split(text, |word| words.push(word.to_owned()))
            .expect("text");
        words
    }

    #[test]
    fn words_and_characters() {
        assert_eq!(split(Unit::Words, " the\tcat </s> sat<s> \r"), ["the", "cat", "sat<s>"]);
        assert_eq!(split(Unit::Characters, "砚 a\t▁"), ["砚", "▁", "a", "<U+0009>", "<U+2581>"]);
        let splitter = Splitter::new(Unit::Characters, None).expect("no tokenizer needed");
        assert_eq!(splitter.join(&split(Unit::Characters, "砚 a\t▁")).expect("characters"), "砚 a\t▁");
        assert!(Splitter::new(Unit::Tokens, None).is_err());
    }
}
