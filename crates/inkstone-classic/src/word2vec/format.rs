//! The text and binary formats of the original program.
//!
//! Both begin with a line of two numbers, words and vector size. Then each word stands with its numbers: in
//! text on a line of its own, split by spaces; in binary a space, little-endian f32s, and a line feed.

use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use inkstone_recipe::fs::{self, IoError};

use super::vectors::Vectors;
use crate::{ClassicError, Result};

/// The two formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of text.
    Text,
    /// Words in text, numbers in bytes.
    Binary,
}

/// Most bytes of a word, and of the first line.
const LONGEST_WORD: usize = 4096;
/// Most numbers in a vector.
const LARGEST_SIZE: usize = 1 << 16;

/// Writes the vectors: aside, then renamed.
pub fn write_vectors(path: &Path, vectors: &Vectors, format: Format) -> Result<()> {
    fs::write_atomic_with(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        writeln!(out, "{} {}", vectors.words().len(), vectors.size())?;
        for (n, word) in vectors.words().iter().enumerate() {
            write!(out, "{word} ")?;
            match format {
                Format::Text => vectors.row(n).iter().try_for_each(|x| write!(out, "{x:.6} "))?,
                Format::Binary => vectors.row(n).iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))?,
            }
            out.write_all(b"\n")?;
        }
        out.flush()
    })?;
    Ok(())
}

/// Reads vectors in either format, told apart by what follows the first word.
pub fn read_vectors(path: &Path) -> Result<Vectors> {
    let bytes = std::fs::metadata(path).map_err(IoError::at("read", path))?.len();
    let mut file = BufReader::with_capacity(1 << 20, fs::open(path)?);
    let (words, size) = header(&mut file, path)?;
    // In either format a word needs a byte for itself and one for each number.
    let least = (words as u64).saturating_mul(size as u64 + 2);
    if least > bytes {
        let what = format!("{bytes} bytes are too few for the {words} vectors of {size} numbers that it promises");
        return Err(malformed(path, what));
    }
    let reader = Reader { path, words, size };
    match detect(&mut file, path, size)? {
        Format::Text => reader.text(file),
        Format::Binary => reader.binary(file),
    }
}

fn malformed(path: &Path, what: String) -> ClassicError {
    ClassicError::Malformed { path: path.to_owned(), what }
}

fn header(file: &mut impl BufRead, path: &Path) -> Result<(usize, usize)> {
    let mut line = Vec::new();
    file.take(LONGEST_WORD as u64).read_until(b'\n', &mut line).map_err(IoError::at("read", path))?;
    let text = String::from_utf8_lossy(&line);
    let mut numbers = text.split_ascii_whitespace().map(str::parse::<usize>);
    if let (Some(Ok(words)), Some(Ok(size @ 1..=LARGEST_SIZE)), None) = (numbers.next(), numbers.next(), numbers.next())
    {
        Ok((words, size))
    } else {
        let what = format!("expected the number of words and the size of vectors (1 to {LARGEST_SIZE})");
        Err(ClassicError::Line { path: path.to_owned(), line: 1, what })
    }
}

/// Text if the bytes after the first word are the beginning of `size` numbers in digits.
fn detect(file: &mut BufReader<std::fs::File>, path: &Path, size: usize) -> Result<Format> {
    let peek = file.fill_buf().map_err(IoError::at("read", path))?;
    let word = peek.iter().position(|&byte| byte == b' ').map_or(0, |at| at + 1);
    let numbers = &peek[word..];
    let numbers = &numbers[..numbers.len().min(4 * size)];
    let is_digit = |byte: &u8| byte.is_ascii_digit() || b" +-.eEinfaN\r\n".contains(byte);
    let line = numbers.iter().take_while(|&&byte| byte != b'\n');
    Ok(if line.clone().count() > 0 && line.into_iter().all(is_digit) { Format::Text } else { Format::Binary })
}

/// What the first line promised.
struct Reader<'a> {
    path: &'a Path,
    words: usize,
    size: usize,
}

impl Reader<'_> {
    fn text(&self, file: impl BufRead) -> Result<Vectors> {
        let (mut words, mut values) = (Vec::new(), Vec::new());
        let mut lines = file.split(b'\n');
        for number in 2..self.words as u64 + 2 {
            let line = lines.next().transpose().map_err(IoError::at("read", self.path))?;
            let line = line.ok_or_else(|| self.ends_early(words.len()))?;
            let at = |what: String| ClassicError::Line { path: self.path.to_owned(), line: number, what };
            let line = std::str::from_utf8(&line).map_err(|_| at("not UTF-8".to_owned()))?;
            let mut parts = line.split([' ', '\t', '\r']).filter(|part| !part.is_empty());
            let word = parts.next().ok_or_else(|| at("there is no word".to_owned()))?;
            let before = values.len();
            for part in parts {
                let value = part.parse::<f32>().map_err(|_| at(format!("“{}” is no number", shortened(part))))?;
                values.push(value);
            }
            let got = values.len() - before;
            if got != self.size {
                return Err(at(format!("{got} numbers, expected {}", self.size)));
            }
            words.push(word.into());
        }
        Vectors::new(words, self.size, values)
    }

    fn binary(&self, mut file: impl BufRead) -> Result<Vectors> {
        let (mut words, mut values) = (Vec::new(), Vec::new());
        let mut row = vec![0; 4 * self.size];
        for n in 0..self.words {
            words.push(self.word(&mut file, n)?);
            file.read_exact(&mut row).map_err(|error| match error.kind() {
                std::io::ErrorKind::UnexpectedEof => self.ends_early(n),
                _ => IoError::at("read", self.path)(error).into(),
            })?;
            let (numbers, _) = row.as_chunks::<4>();
            values.extend(numbers.iter().map(|&bytes| f32::from_le_bytes(bytes)));
        }
        Vectors::new(words, self.size, values)
    }

    /// The `n`-th word and the space behind it. Some writers put no line feed before it.
    fn word(&self, file: &mut impl BufRead, n: usize) -> Result<Box<str>> {
        let mut word = Vec::new();
        file.take(LONGEST_WORD as u64).read_until(b' ', &mut word).map_err(IoError::at("read", self.path))?;
        if word.pop() != Some(b' ') {
            let too_long = word.len() + 1 >= LONGEST_WORD;
            let what = format!("word {} has more than {LONGEST_WORD} bytes: the vectors have another width", n + 1);
            return Err(if too_long { malformed(self.path, what) } else { self.ends_early(n) });
        }
        let start = usize::from(word.first() == Some(&b'\n'));
        let word = String::from_utf8(word[start..].to_vec());
        word.map(Into::into).map_err(|_| malformed(self.path, format!("word {} is not UTF-8", n + 1)))
    }

    fn ends_early(&self, words: usize) -> ClassicError {
        malformed(self.path, format!("it ends after {words} vectors, expected {}", self.words))
    }
}

fn shortened(part: &str) -> String {
    part.chars().take(20).collect()
}
