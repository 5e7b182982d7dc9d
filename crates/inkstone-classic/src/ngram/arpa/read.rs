//! Reading ARPA: ours, those of KenLM and SRILM. The file is taken for hostile: the counts that it announces reserve nothing.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use crate::error::{ClassicError, Result};
use crate::ngram::estimate::{Block, LONGEST};
use crate::ngram::model::Table;
use crate::ngram::unit::Unit;
use crate::ngram::vocabulary::{BEGIN, SPECIALS, UNKNOWN, Vocabulary, WordId};

/// The longest line that is read, in bytes.
const LONGEST_LINE: u64 = 1 << 20;

/// What stands for the logarithm of the unknown word where a file has none.
const ABSENT: f64 = -100.0;

/// Reads a model. What a word is comes from our own note, where there is one.
pub fn read_arpa(path: &Path) -> Result<(Table, Option<Unit>)> {
    let file = inkstone_recipe::fs::open(path)?;
    Parser { path: path.to_owned(), input: BufReader::with_capacity(1 << 18, file), line: String::new(), number: 0 }
        .table()
}

struct Parser<R> {
    path: PathBuf,
    input: R,
    line: String,
    /// Of the line, from 1.
    number: u64,
}

impl<R: BufRead> Parser<R> {
    fn table(mut self) -> Result<(Table, Option<Unit>)> {
        let unit = self.preamble()?;
        let counts = self.counts()?;
        let mut vocabulary = Vocabulary::new();
        let mut orders = Vec::new();
        for (&count, order) in counts.iter().zip(1..) {
            self.expect(&format!("\\{order}-grams:"))?;
            let block = self.section(&mut vocabulary, (order, count), order == counts.len())?;
            orders.push(block);
        }
        self.skip_blank()?;
        if self.line.trim() != "\\end\\" {
            return Err(self.wrong("\\end\\"));
        }
        let path = self.path;
        Table::new(vocabulary, orders).map(|table| (table, unit)).map_err(|what| ClassicError::Arpa {
            line: self.number,
            expected: "each n-gram once".into(),
            got: what,
            path,
        })
    }

    fn wrong(&self, expected: impl Into<String>) -> ClassicError {
        let got: String = self.line.trim_end().chars().take(80).collect();
        ClassicError::Arpa { path: self.path.clone(), line: self.number, expected: expected.into(), got }
    }

    /// Reads the next line; at the end of the file it is empty.
    fn next(&mut self) -> Result<()> {
        self.line.clear();
        self.number += 1;
        let mut bytes = std::mem::take(&mut self.line).into_bytes();
        let read = self.input.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes);
        read.map_err(ClassicError::io("read", &self.path))?;
        let whole = (bytes.len() as u64) < LONGEST_LINE;
        self.line = String::from_utf8(bytes).map_err(|_| self.wrong("UTF-8"))?;
        if whole { Ok(()) } else { Err(self.wrong("a shorter line")) }
    }

    fn skip_blank(&mut self) -> Result<()> {
        self.next()?;
        while !self.line.is_empty() && self.line.trim().is_empty() {
            self.next()?;
        }
        Ok(())
    }

    fn expect(&mut self, text: &str) -> Result<()> {
        self.skip_blank()?;
        if self.line.trim() == text { Ok(()) } else { Err(self.wrong(text)) }
    }

    /// Up to `\data\`.
    fn preamble(&mut self) -> Result<Option<Unit>> {
        let mut unit = None;
        loop {
            self.next()?;
            unit = unit.or(Unit::from_note(self.line.trim()));
            if self.line.trim() == "\\data\\" {
                return Ok(unit);
            }
            if self.line.is_empty() {
                return Err(self.wrong("\\data\\"));
            }
        }
    }

    /// `ngram 1=…` and so on, up to a blank line.
    fn counts(&mut self) -> Result<Vec<u64>> {
        let mut counts = Vec::new();
        loop {
            self.next()?;
            if self.line.trim().is_empty() && !self.line.is_empty() && !counts.is_empty() {
                return Ok(counts);
            }
            let expected = format!("ngram {}=COUNT", counts.len() + 1);
            let rest = self.line.trim().strip_prefix("ngram").map(str::trim_start);
            let (order, count) = rest.and_then(|rest| rest.split_once('=')).ok_or_else(|| self.wrong(&*expected))?;
            let (order, count) = (order.trim().parse::<usize>().ok(), count.trim().parse::<u64>().ok());
            match count {
                Some(count) if order == Some(counts.len() + 1) && counts.len() < LONGEST => counts.push(count),
                _ => return Err(self.wrong(expected)),
            }
        }
    }

    fn section(&mut self, vocabulary: &mut Vocabulary, (order, count): (usize, u64), longest: bool) -> Result<Block> {
        let mut block = Block { order, ..Block::default() };
        let mut seen = 0;
        while seen < count {
            self.next()?;
            if self.line.trim().is_empty() {
                let missing = format!("{} more {order}-grams", count - seen);
                return Err(self.wrong(missing));
            }
            self.entry(vocabulary, &mut block, longest)?;
            seen += 1;
        }
        if order == 1 { self.with_specials(vocabulary, block) } else { Ok(block) }
    }

    fn entry(&self, vocabulary: &mut Vocabulary, block: &mut Block, longest: bool) -> Result<()> {
        let mut fields = self.line.split(['\t', ' ', '\r', '\n']).filter(|field| !field.is_empty());
        let probability = self.logarithm(fields.next(), "log₁₀ of a probability, 0 or less")?;
        if probability > 0.0 {
            return Err(self.wrong("log₁₀ of a probability, 0 or less"));
        }
        for n in 0..block.order {
            let word = fields.next().ok_or_else(|| self.wrong(format!("{} words, not {n}", block.order)))?;
            block.words.push(self.word(vocabulary, word, block.order)?);
        }
        let back_off = match fields.next() {
            None => 0.0,
            Some(_) if longest => return Err(self.wrong("no back-off weight in the highest order")),
            some => self.logarithm(some, "log₁₀ of a back-off weight")?,
        };
        if fields.next().is_some() {
            return Err(self.wrong(format!("{} words and a back-off weight at most", block.order)));
        }
        block.log10_probability.push(probability);
        block.log10_back_off.push(back_off);
        Ok(())
    }

    fn word(&self, vocabulary: &mut Vocabulary, word: &str, order: usize) -> Result<WordId> {
        if order == 1 {
            return Ok(vocabulary.insert(word));
        }
        vocabulary.get(word).ok_or_else(|| self.wrong(format!("words among the 1-grams, as {word:?} is not")))
    }

    fn logarithm(&self, field: Option<&str>, expected: &str) -> Result<f64> {
        let number: Option<f64> = field.and_then(|field| field.parse().ok());
        let number = number.filter(|number| !number.is_nan() && *number < 1e4).ok_or_else(|| self.wrong(expected))?;
        Ok(number.max(ABSENT))
    }

    /// Adds the special words that the file has not.
    fn with_specials(&self, vocabulary: &Vocabulary, mut block: Block) -> Result<Block> {
        let mut given = vec![false; vocabulary.len()];
        for &word in &block.words {
            if std::mem::replace(&mut given[word as usize], true) {
                return Err(self.wrong(format!("each 1-gram once, not {:?} twice", vocabulary.word(word))));
            }
        }
        for id in (UNKNOWN..SPECIALS.len() as WordId).filter(|&id| !given[id as usize]) {
            block.words.push(id);
            block.log10_probability.push(if id == BEGIN { 0.0 } else { ABSENT });
            block.log10_back_off.push(0.0);
        }
        Ok(block)
    }
}
