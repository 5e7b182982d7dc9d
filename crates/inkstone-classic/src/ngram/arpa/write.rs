//! Writing ARPA.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;

use super::number;
use crate::error::{ClassicError, Result};
use crate::ngram::estimate::{Block, Estimate};
use crate::ngram::model::Table;
use crate::ngram::unit::Unit;
use crate::ngram::vocabulary::Vocabulary;

/// Writes the n-grams as they come, order by order.
pub struct ArpaWriter<W> {
    out: W,
    longest: usize,
    order: usize,
}

impl<W: Write> ArpaWriter<W> {
    /// Writes the head: what a word is, and how many n-grams of each order follow.
    pub fn new(mut out: W, unit: Unit, counts: &[u64]) -> io::Result<Self> {
        writeln!(out, "{}\n\n\\data\\", unit.note())?;
        for (count, order) in counts.iter().zip(1..) {
            writeln!(out, "ngram {order}={count}")?;
        }
        Ok(Self { out, longest: counts.len(), order: 0 })
    }

    /// Writes a block; it belongs to the order of the last one or to the next.
    pub fn write(&mut self, vocabulary: &Vocabulary, block: &Block) -> io::Result<()> {
        while self.order < block.order {
            self.order += 1;
            write!(self.out, "\n\\{}-grams:\n", self.order)?;
        }
        let lines = |i: usize| lines(vocabulary, block, i, block.order == self.longest);
        let pieces: Vec<Vec<u8>> = (0..block.len().div_ceil(PIECE)).into_par_iter().map(lines).collect();
        pieces.iter().try_for_each(|piece| self.out.write_all(piece))
    }

    /// Writes the end.
    pub fn finish(mut self) -> io::Result<W> {
        for order in self.order + 1..=self.longest {
            write!(self.out, "\n\\{order}-grams:\n")?;
        }
        self.out.write_all(b"\n\\end\\\n")?;
        Ok(self.out)
    }
}

/// Lines that one thread formats.
const PIECE: usize = 1 << 12;

/// The lines of piece `i`.
fn lines(vocabulary: &Vocabulary, block: &Block, i: usize, longest: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(PIECE * 16 * (block.order + 1));
    for i in i * PIECE..block.len().min((i + 1) * PIECE) {
        number::put(block.log10_probability[i], &mut out);
        let words = &block.words[i * block.order..(i + 1) * block.order];
        for (&word, before) in words.iter().zip(std::iter::once(b'\t').chain(std::iter::repeat(b' '))) {
            out.push(before);
            out.extend_from_slice(vocabulary.word(word).as_bytes());
        }
        if !longest {
            out.push(b'\t');
            number::put(block.log10_back_off[i], &mut out);
        }
        out.push(b'\n');
    }
    out
}

/// Writes an estimated model, whole or not at all.
pub fn write_arpa(path: &Path, unit: Unit, estimate: Estimate) -> Result<()> {
    write_aside(path, |file| {
        let failed = || ClassicError::io("write", path);
        let mut writer = ArpaWriter::new(file, unit, &estimate.counts).map_err(failed())?;
        estimate.read(|vocabulary, block| writer.write(vocabulary, block).map_err(failed()))?;
        writer.finish().map_err(failed()).map(drop)
    })
}

/// Writes the n-grams of a table, whole or not at all.
pub fn write_table(path: &Path, unit: Unit, table: &Table) -> Result<()> {
    write_aside(path, |file| {
        let mut writer = ArpaWriter::new(file, unit, &table.counts()).map_err(ClassicError::io("write", path))?;
        for block in table.blocks() {
            writer.write(table.vocabulary(), block).map_err(ClassicError::io("write", path))?;
        }
        writer.finish().map_err(ClassicError::io("write", path)).map(drop)
    })
}

/// As [`inkstone_recipe::fs::write_atomic_with`], for writers with errors of this crate.
pub(in crate::ngram) fn write_aside(path: &Path, write: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
    let mut failed = None;
    let written = inkstone_recipe::fs::write_atomic_with(path, |file| {
        write(file).map_err(|error| {
            failed = Some(error);
            io::Error::other("see the error that is kept")
        })
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}
