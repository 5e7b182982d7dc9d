//! A text as word ids with the borders of its sentences.

use std::io::BufRead;
use std::path::Path;

use inkstone_recipe::fs::{self, IoError};

use super::vocabulary::{Interner, Vocabulary};
use crate::{ClassicError, Result};

/// Words after which a sentence is cut, as in the original program.
const LONGEST: usize = 1000;

/// Sentences of word ids, one after another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sentences {
    ids: Vec<u32>,
    ends: Vec<usize>,
}

impl Sentences {
    /// Adds a sentence, in pieces where it is long; one without words adds nothing.
    pub fn push(&mut self, sentence: &[u32]) {
        for piece in sentence.chunks(LONGEST) {
            self.ids.extend_from_slice(piece);
            self.ends.push(self.ids.len());
        }
    }

    /// All sentences in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.ids[start..end])
    }

    /// Words of all sentences.
    pub fn words(&self) -> usize {
        self.ids.len()
    }

    /// The same sentences with ids mapped by `places`; words without a place are left out.
    fn renamed(&self, places: &[Option<u32>]) -> Self {
        let mut renamed = Self::default();
        let mut sentence = Vec::new();
        for ids in self.iter() {
            sentence.clear();
            sentence.extend(ids.iter().filter_map(|&id| places[id as usize]));
            renamed.push(&sentence);
        }
        renamed
    }
}

/// How a line is cut into words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Words {
    /// At white space, as the original program does.
    #[default]
    Spaced,
    /// At white space, and every Han character is a word by itself: for Chinese that nobody has segmented.
    HanApart,
}

impl Words {
    /// Calls `each` with every word of `line`.
    pub(crate) fn each<'a>(self, line: &'a str, mut each: impl FnMut(&'a str)) {
        for word in line.split_ascii_whitespace() {
            match self {
                Self::Spaced => each(word),
                Self::HanApart => apart(word, &mut each),
            }
        }
    }
}

fn apart<'a>(word: &'a str, each: &mut impl FnMut(&'a str)) {
    let mut rest = word;
    while let Some(at) = rest.find(is_han) {
        let (before, from) = rest.split_at(at);
        let (han, after) = from.split_at(from.chars().next().map_or(0, char::len_utf8));
        if !before.is_empty() {
            each(before);
        }
        each(han);
        rest = after;
    }
    if !rest.is_empty() {
        each(rest);
    }
}

/// Whether a character is a Han ideograph (Unicode blocks of CJK unified ideographs with their extensions).
pub(crate) fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// A text that is being read.
#[derive(Debug, Default)]
pub struct SentenceReader {
    words: Words,
    interner: Interner,
    sentences: Sentences,
    sentence: Vec<u32>,
}

impl SentenceReader {
    /// Cuts lines as `words` says.
    pub fn new(words: Words) -> Self {
        Self { words, ..Self::default() }
    }

    /// Adds one line of text.
    pub fn push(&mut self, line: &str) {
        self.sentence.clear();
        let (interner, sentence) = (&mut self.interner, &mut self.sentence);
        self.words.each(line, |word| sentence.push(interner.id(word)));
        self.sentences.push(&self.sentence);
    }

    /// Adds one sentence of words.
    pub(crate) fn push_words<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        self.sentence.clear();
        self.sentence.extend(words.map(|word| self.interner.id(word)));
        self.sentences.push(&self.sentence);
    }

    /// The words that came at least `min_count` times, and the text in their ids.
    ///
    /// # Errors
    /// If fewer than two words are left.
    pub fn finish(self, min_count: u64) -> Result<(Vocabulary, Sentences)> {
        let read = self.sentences.words();
        let (vocabulary, places) = self.interner.finish(min_count);
        if vocabulary.len() < 2 {
            let found = format!("{} words that come {min_count} times or more (of {read} words)", vocabulary.len());
            return Err(ClassicError::TooLittle { found, expected: "at least two" });
        }
        Ok((vocabulary, self.sentences.renamed(&places)))
    }
}

/// Reads a UTF-8 text, a sentence a line; `progress` hears of bytes read.
pub fn read_sentences(path: &Path, words: Words, progress: &mut dyn FnMut(u64)) -> Result<SentenceReader> {
    let mut reader = SentenceReader::new(words);
    each_line(path, |line, bytes| {
        progress(bytes);
        reader.push(line);
        Ok(())
    })?;
    Ok(reader)
}

/// Calls `then` with every line of a UTF-8 file and the bytes read up to its end.
pub(crate) fn each_line(path: &Path, mut then: impl FnMut(&str, u64) -> Result<()>) -> Result<()> {
    let mut file = std::io::BufReader::with_capacity(1 << 20, fs::open(path)?);
    let (mut line, mut number, mut bytes) = (Vec::new(), 0, 0);
    loop {
        line.clear();
        number += 1;
        let read = file.read_until(b'\n', &mut line).map_err(IoError::at("read", path))?;
        if read == 0 {
            return Ok(());
        }
        bytes += read as u64;
        let text = std::str::from_utf8(&line).map_err(|error| {
            let what = format!("not UTF-8 from byte {} on", error.valid_up_to());
            ClassicError::Line { path: path.to_owned(), line: number, what }
        })?;
        then(text, bytes)?;
    }
}
