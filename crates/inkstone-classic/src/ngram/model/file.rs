//! The binary file: `INKNGRAM`, a version, a header in JSON, and arrays at multiples of 64 bytes, made to be mapped into memory.
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `INKNGRAM` |
//! | 4 | version, 1, least significant byte first as all numbers |
//! | 4 | bytes of the header |
//! | … | the header; then zeros up to a multiple of 64 |
//! | … | the arrays: the words (a line each, by id), then those of the structure |

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::bits::{Unary, WIDEST};
use super::probing::{Probing, Slot32};
use super::quantise::{Codes, EXACT};
use super::section::{Section, map};
use super::trie::{Level, Trie};
use super::{Model, Structure, Table};
use crate::error::{ClassicError, Result};
use crate::ngram::arpa::write_aside;
use crate::ngram::estimate::LONGEST;
use crate::ngram::unit::Unit;
use crate::ngram::vocabulary::{SPECIALS, Vocabulary};

const MAGIC: &[u8; 8] = b"INKNGRAM";
const VERSION: u32 = 2;
/// Arrays begin at multiples of this.
const ALIGN: usize = 64;
/// The largest header that is read.
const LONGEST_HEADER: u32 = 1 << 16;

/// What the arrays are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// `probing` or `trie`.
    pub structure: String,
    /// What a word is, where that is known.
    pub unit: Option<Unit>,
    /// How many n-grams of each order there are.
    pub counts: Vec<u64>,
    /// Bits of a logarithm.
    pub bits: u32,
    /// Bytes of each array.
    sections: Vec<u64>,
}

/// Whether a file begins as a binary model does.
pub(super) fn is_binary(path: &Path) -> Result<bool> {
    let mut begin = Vec::new();
    let file = inkstone_recipe::fs::open(path)?;
    file.take(MAGIC.len() as u64).read_to_end(&mut begin).map_err(ClassicError::io("read", path))?;
    Ok(begin == MAGIC)
}

/// Writes a model, whole or not at all. `bits` is the width of a trie's logarithms; without, it becomes a hash table.
pub fn write_model(path: &Path, table: &Table, unit: Option<Unit>, bits: Option<u32>) -> Result<()> {
    let words: String = table.vocabulary().words().flat_map(|word| [word, "\n"]).collect();
    match bits {
        None => {
            let probing = Probing::<Slot32>::new(table);
            let arrays = std::iter::once(words.as_bytes()).chain(probing.sections().map(bytemuck::cast_slice));
            write(path, ("probing", EXACT), (unit, table.counts()), &arrays.collect::<Vec<_>>())
        }
        Some(bits) if (2..=EXACT).contains(&bits) => {
            let trie = Trie::new(table, if bits > 25 { EXACT } else { bits });
            let levels = trie.levels.iter().flat_map(level_arrays);
            let arrays: Vec<&[u8]> = std::iter::once(words.as_bytes()).chain(levels).collect();
            write(path, ("trie", trie.levels[0].probability.bits), (unit, table.counts()), &arrays)
        }
        Some(bits) => {
            Err(ClassicError::Setting { field: "bits", got: bits.to_string(), expected: "2 to 25, or 32".into() })
        }
    }
}

fn level_arrays(level: &Level) -> [&[u8]; 5] {
    let (words, samples): (&[u64], &[u64]) = match &level.below {
        Some(below) => (&below.words, &below.samples),
        None => (&[], &[]),
    };
    let codes: [&[f32]; 2] = [&level.probability.centres, &level.back_off.centres];
    let cast = bytemuck::cast_slice::<f32, u8>;
    [&level.records, bytemuck::cast_slice(words), bytemuck::cast_slice(samples), cast(codes[0]), cast(codes[1])]
}

fn write(
    path: &Path,
    (structure, bits): (&str, u32),
    (unit, counts): (Option<Unit>, Vec<u64>),
    arrays: &[&[u8]],
) -> Result<()> {
    let sections = arrays.iter().map(|array| array.len() as u64).collect();
    let header = Header { structure: structure.to_owned(), unit, counts, bits, sections };
    let header = serde_json::to_vec(&header).unwrap_or_default();
    let begin = [MAGIC.as_slice(), &VERSION.to_le_bytes(), &(header.len() as u32).to_le_bytes(), &header].concat();
    write_aside(path, |file| {
        for part in std::iter::once(begin.as_slice()).chain(arrays.iter().copied()) {
            file.write_all(part).map_err(ClassicError::io("write", path))?;
            let padding = part.len().next_multiple_of(ALIGN) - part.len();
            file.write_all(&[0; ALIGN][..padding]).map_err(ClassicError::io("write", path))?;
        }
        Ok(())
    })
}

/// Reads what a file says of itself, and where its arrays begin.
pub fn read_header(path: &Path, bytes: &[u8]) -> Result<(Header, usize)> {
    let wrong =
        |what, expected: String, got: String| ClassicError::Model { path: path.to_owned(), what, expected, got };
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or_else(|| wrong("size", "a header".into(), format!("{at} bytes")))
    };
    if bytes.get(..8) != Some(MAGIC) {
        return Err(wrong("first bytes", "INKNGRAM".into(), "others".into()));
    }
    let (version, len) = (number(8)?, number(12)?);
    if version != VERSION {
        return Err(wrong("version of the file", VERSION.to_string(), version.to_string()));
    }
    let json = bytes.get(16..16 + len as usize).filter(|_| len <= LONGEST_HEADER);
    let json = json.ok_or_else(|| wrong("size of the header", "what the file holds".into(), len.to_string()))?;
    let header: Header =
        serde_json::from_slice(json).map_err(|error| wrong("header", "its fields".into(), error.to_string()))?;
    if header.counts.is_empty() || header.counts.len() > LONGEST {
        return Err(wrong("order", format!("1 to {LONGEST}"), header.counts.len().to_string()));
    }
    Ok((header, (16 + len as usize).next_multiple_of(ALIGN)))
}

/// Maps a model.
pub(super) fn open(path: &Path) -> Result<Model> {
    let map = Arc::new(map(path)?);
    let (header, start) = read_header(path, &map)?;
    let mut arrays = Arrays { path, map: &map, at: start, sizes: header.sections.iter() };
    let vocabulary = vocabulary(path, &arrays.next::<u8>("words")?, header.counts[0])?;
    let structure = match header.structure.as_str() {
        "probing" => Structure::Probing(probing(&mut arrays, &header)?),
        "trie" => Structure::Trie(trie(&mut arrays, &header, &vocabulary)?),
        other => return Err(arrays.wrong("structure", "probing or trie", other)),
    };
    Ok(Model { vocabulary, unit: header.unit, structure })
}

/// The arrays of a file, one after another.
struct Arrays<'a> {
    path: &'a Path,
    map: &'a Arc<Mmap>,
    at: usize,
    sizes: std::slice::Iter<'a, u64>,
}

impl Arrays<'_> {
    fn wrong(&self, what: &'static str, expected: &str, got: &str) -> ClassicError {
        ClassicError::Model { path: self.path.to_owned(), what, expected: expected.to_string(), got: got.to_string() }
    }

    fn next<T: Pod>(&mut self, what: &'static str) -> Result<Section<T>> {
        let size = self.sizes.next().copied().ok_or_else(|| self.wrong(what, "an array", "none"))?;
        let end = usize::try_from(size).ok().and_then(|size| self.at.checked_add(size));
        let section = end.and_then(|end| Section::mapped(self.map, self.at..end).map(|section| (section, end)));
        let (section, end) =
            section.ok_or_else(|| self.wrong(what, "an array inside the file", &format!("{size} bytes")))?;
        self.at = end.checked_next_multiple_of(ALIGN).unwrap_or(end);
        Ok(section)
    }
}

fn vocabulary(path: &Path, words: &[u8], count: u64) -> Result<Vocabulary> {
    let wrong =
        |expected: String, got: String| ClassicError::Model { path: path.to_owned(), what: "words", expected, got };
    let words = std::str::from_utf8(words).map_err(|error| wrong("UTF-8".into(), error.to_string()))?;
    let mut vocabulary = Vocabulary::new();
    for (word, id) in words.lines().zip(0..) {
        if vocabulary.insert(word) != id {
            return Err(wrong("each word once, the special ones first".into(), format!("{word:?}")));
        }
    }
    match vocabulary.len() {
        len if len as u64 == count && words.lines().count() >= SPECIALS.len() => Ok(vocabulary),
        len => Err(wrong(count.to_string(), len.to_string())),
    }
}

fn probing(arrays: &mut Arrays<'_>, header: &Header) -> Result<Probing<Slot32>> {
    let sections: Vec<Section<Slot32>> = header.counts.iter().map(|_| arrays.next("table")).collect::<Result<_>>()?;
    let empty = sections.iter().any(|section| section.is_empty());
    if empty || sections[0].len() as u64 != header.counts[0] {
        return Err(arrays.wrong("tables", "one entry a word, and none empty", "another size"));
    }
    Ok(Probing::from_sections(sections))
}

fn trie(arrays: &mut Arrays<'_>, header: &Header, vocabulary: &Vocabulary) -> Result<Trie> {
    if !(2..=25).contains(&header.bits) && header.bits != EXACT {
        return Err(arrays.wrong("bits", "2 to 25, or 32", &header.bits.to_string()));
    }
    let mut levels = Vec::new();
    for order in 1..=header.counts.len() {
        let records = arrays.next("records")?;
        let below = Unary { words: arrays.next("borders")?, samples: arrays.next("samples")? };
        let codes = |centres| Codes { bits: header.bits, centres };
        let (probability, back_off) = (codes(arrays.next("codes")?), codes(arrays.next("codes")?));
        levels.push(Level { records, below: (order < header.counts.len()).then_some(below), probability, back_off });
    }
    debug_assert!(vocabulary.bits() <= WIDEST);
    Ok(Trie { word_bits: vocabulary.bits(), len: header.counts.clone(), levels })
}
