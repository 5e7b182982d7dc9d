//! Lines in bounded memory.

use std::io::{self, BufRead, Read};

/// How the bytes that [`LineReader::next`] read end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// With a line feed.
    Newline,
    /// With the end of the file.
    Last,
    /// The line goes on: it is longer than allowed, and was cut between two characters.
    Cut,
    /// Nothing was left to read.
    None,
}

/// Reads line by line and never holds more than the allowed length.
pub(crate) struct LineReader<R> {
    reader: R,
    line: Vec<u8>,
    carried: Vec<u8>,
    number: u64,
    cut: bool,
}

impl<R: BufRead> LineReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { reader, line: Vec::new(), carried: Vec::new(), number: 0, cut: false }
    }

    /// The bytes that were read last, without line feed.
    pub(crate) fn line(&self) -> &[u8] {
        &self.line
    }

    /// The number of the line to which they belong, from 1.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Reads to the end of the line, or at most `max` (≥ 4) bytes of it.
    pub(crate) fn next(&mut self, max: usize) -> io::Result<LineEnd> {
        self.number += u64::from(!self.cut);
        self.cut = false;
        self.line.clear();
        self.line.append(&mut self.carried);
        let room = (max - self.line.len()) as u64;
        self.reader.by_ref().take(room).read_until(b'\n', &mut self.line)?;
        if self.line.last() == Some(&b'\n') {
            self.line.pop();
            return Ok(LineEnd::Newline);
        }
        if self.line.is_empty() {
            return Ok(LineEnd::None);
        }
        if self.line.len() < max { Ok(LineEnd::Last) } else { self.at_limit() }
    }

    /// The line is as long as allowed, which may be its whole length.
    fn at_limit(&mut self) -> io::Result<LineEnd> {
        let next = self.reader.fill_buf()?.first().copied();
        match next {
            None => Ok(LineEnd::Last),
            Some(b'\n') => {
                self.reader.consume(1);
                Ok(LineEnd::Newline)
            }
            Some(_) => {
                self.carried = self.line.split_off(character_boundary(&self.line));
                self.cut = true;
                Ok(LineEnd::Cut)
            }
        }
    }

    /// Passes over the rest of a line that was cut.
    pub(crate) fn skip_line(&mut self) -> io::Result<()> {
        self.carried.clear();
        self.cut = false;
        self.reader.skip_until(b'\n').map(drop)
    }
}

/// The largest length that does not end within a UTF-8 character (all of `bytes`, where they are
/// not UTF-8).
fn character_boundary(bytes: &[u8]) -> usize {
    let tail = bytes.len().saturating_sub(3);
    for at in (tail..bytes.len()).rev() {
        let length = match bytes[at] {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            0x00..=0x7F => 1,
        };
        return if at > 0 && at + length > bytes.len() { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::{LineEnd, LineReader};

    fn all(bytes: &[u8], max: usize) -> Vec<(String, u64, LineEnd)> {
        let mut lines = LineReader::new(bytes);
        let mut found = Vec::new();
        loop {
            match lines.next(max).expect("reads from memory") {
                LineEnd::None => return found,
                end => found.push((String::from_utf8_lossy(lines.line()).into_owned(), lines.number(), end)),
            }
        }
    }

    #[test]
    fn cuts_between_characters_and_keeps_line_numbers() {
        let found = all("砚台砚台\nab\n\nc".as_bytes(), 8);
        let expected = [
            ("砚台", 1, LineEnd::Cut),
            ("砚台", 1, LineEnd::Newline),
            ("ab", 2, LineEnd::Newline),
            ("", 3, LineEnd::Newline),
            ("c", 4, LineEnd::Last),
        ];
        assert_eq!(found, expected.map(|(text, line, end)| (text.to_owned(), line, end)));
    }

    #[test]
    fn a_line_of_exactly_the_limit_is_whole() {
        assert_eq!(all(b"abcd\nefgh", 4).iter().map(|l| l.2).collect::<Vec<_>>(), [LineEnd::Newline, LineEnd::Last]);
    }
}
