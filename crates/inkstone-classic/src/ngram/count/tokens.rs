//! The ids of a text's words, end to end, each sentence closed by [`END`]: what is counted once the
//! vocabulary, and with it the width of a word, is known.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use super::spool::Room;
use crate::error::{ClassicError, Result};
use crate::ngram::vocabulary::{END, WordId};

/// Sentences as ids; in memory up to a limit, in a temporary file past it.
pub struct Sentences {
    room: Room,
    memory: Vec<WordId>,
    disk: Option<BufWriter<File>>,
    /// Words of all sentences, their ends included.
    tokens: u64,
}

impl Sentences {
    /// None yet.
    pub fn new(room: Room) -> Self {
        Self { room, memory: Vec::new(), disk: None, tokens: 0 }
    }

    /// How many words there are, the ends of sentences included.
    pub fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Adds words to the sentence.
    pub fn push(&mut self, words: &[WordId]) -> Result<()> {
        self.tokens += words.len() as u64;
        self.memory.extend_from_slice(words);
        if self.memory.len() >= self.room.capacity::<WordId>() { self.spill() } else { Ok(()) }
    }

    /// Ends the sentence.
    pub fn end(&mut self) -> Result<()> {
        self.push(&[END])
    }

    fn spill(&mut self) -> Result<()> {
        let failed = || ClassicError::io("write a temporary file in", &self.room.folder);
        let disk = match &mut self.disk {
            Some(disk) => disk,
            none => none.insert(BufWriter::new(tempfile::tempfile_in(&self.room.folder).map_err(failed())?)),
        };
        disk.write_all(bytemuck::cast_slice(&self.memory)).map_err(failed())?;
        self.memory = Vec::new();
        self.room.bytes = self.room.bytes.min(1 << 22);
        Ok(())
    }

    /// Hands out all words in their order, in pieces.
    pub fn read(mut self, mut then: impl FnMut(&[WordId]) -> Result<()>) -> Result<()> {
        if self.disk.is_none() {
            return self.memory.chunks(1 << 16).try_for_each(then);
        }
        self.spill()?;
        let failed = || ClassicError::io("read a temporary file in", &self.room.folder);
        let Some(disk) = self.disk else { return Ok(()) };
        let mut file = disk.into_inner().map_err(|error| failed()(error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(failed())?;
        let (mut file, mut left) = (BufReader::new(file), self.tokens as usize);
        let mut piece = vec![0; 1 << 16];
        while left > 0 {
            let piece = &mut piece[..left.min(1 << 16)];
            file.read_exact(bytemuck::cast_slice_mut(piece)).map_err(failed())?;
            left -= piece.len();
            then(piece)?;
        }
        Ok(())
    }
}
