//! Text files as sentences of word ids.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use super::count::{Room, Sentences};
use super::talk::Talk;
use super::unit::{Splitter, Unit};
use super::vocabulary::{Vocabulary, WordId};
use crate::error::{ClassicError, Result};

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 1 << 28;

/// Hands out the lines of a text file with what ends them, the last one included where it has no end.
fn lines(path: &Path, talk: Talk<'_>, mut then: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let file = inkstone_recipe::fs::open(path)?;
    let total = file.metadata().map_err(ClassicError::io("read", path))?.len();
    let task = talk.progress.task("reading", Some(total), "B");
    let (mut file, mut line, mut done) = (BufReader::with_capacity(1 << 18, file), Vec::new(), 0);
    for number in 1.. {
        line.clear();
        let read = file.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut line);
        let read = read.map_err(ClassicError::io("read", path))? as u64;
        let wrong = |what| ClassicError::Text { path: path.to_owned(), line: number, what };
        match read {
            0 => break,
            LONGEST_LINE => return Err(wrong("a line of more than 256 MB")),
            _ => then(std::str::from_utf8(&line).map_err(|_| wrong("not UTF-8"))?)?,
        }
        done += read;
        if number % 1024 == 0 {
            task.set(done);
            talk.check()?;
        }
    }
    Ok(())
}

/// Bytes of text that are cut into tokens at once.
const PIECE: usize = 1 << 20;

/// Hands out what is to be cut into words at once, and whether a sentence ends with it: a line without its end, or, for a tokenizer,
/// which has its own words for the ends of lines, about a megabyte of lines up to one that does not begin with white
/// space, so that no tokenizer sees a border that is not there.
pub fn pieces(path: &Path, unit: Unit, talk: Talk<'_>, mut then: impl FnMut(&str, bool) -> Result<()>) -> Result<()> {
    if unit != Unit::Tokens {
        return lines(path, talk, |line| then(without_end(line), true));
    }
    let mut piece = String::new();
    lines(path, talk, |line| {
        if piece.len() >= PIECE && !line.starts_with(char::is_whitespace) {
            then(&piece, false)?;
            piece.clear();
        }
        piece.push_str(line);
        Ok(())
    })?;
    if piece.is_empty() { Ok(()) } else { then(&piece, true) }
}

/// A text as ids over the vocabulary of its own words.
pub struct Corpus {
    /// Its words.
    pub vocabulary: Vocabulary,
    /// Its sentences.
    pub sentences: Sentences,
    /// Words of the sentence that is being read.
    words: Vec<WordId>,
}

impl Corpus {
    /// None yet; `room` is for the ids.
    pub fn new(room: Room) -> Self {
        Self { vocabulary: Vocabulary::new(), sentences: Sentences::new(room), words: Vec::new() }
    }

    /// Adds a piece of a sentence.
    pub fn push(&mut self, piece: &str, splitter: &Splitter) -> Result<()> {
        self.words.clear();
        splitter.split(piece, |word| self.words.push(self.vocabulary.insert(word)))?;
        self.sentences.push(&self.words)
    }

    /// Ends a sentence.
    pub fn end(&mut self) -> Result<()> {
        self.sentences.end()
    }

    /// Adds a file: each line is a sentence, an empty one too; with a tokenizer the whole file is one.
    pub fn add_file(&mut self, path: &Path, splitter: &Splitter, talk: Talk<'_>) -> Result<()> {
        pieces(path, splitter.unit(), talk, |piece, ends| {
            self.push(piece, splitter)?;
            if ends { self.end() } else { Ok(()) }
        })
    }

    /// Refuses a text in which there is nothing.
    pub fn check(&self, path: &Path) -> Result<()> {
        if self.sentences.tokens() == 0 {
            return Err(ClassicError::Empty { path: path.to_owned(), what: "sentences" });
        }
        Ok(())
    }
}

/// A line without what ends it.
fn without_end(line: &str) -> &str {
    let line = line.strip_suffix('\n').unwrap_or(line);
    line.strip_suffix('\r').unwrap_or(line)
}
