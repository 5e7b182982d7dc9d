//! Long sequences of n-grams that stay in memory up to a limit and go to a temporary file past it.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use bytemuck::Pod;

use super::key::Key;
use crate::error::{ClassicError, Result};

/// An n-gram with what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<K, V> {
    /// The packed n-gram.
    pub key: K,
    /// A count, a probability, …
    pub value: V,
}

/// Where long sequences go, and how much of one may stay in memory.
#[derive(Debug, Clone)]
pub struct Room {
    /// The folder of temporary files; they have no name there and vanish with the program.
    pub folder: PathBuf,
    /// Bytes that one sequence may take in memory.
    pub bytes: usize,
}

impl Room {
    /// The room of one of `n` sequences that exist at the same time.
    #[must_use]
    pub fn share(&self, n: usize) -> Self {
        Self { folder: self.folder.clone(), bytes: self.bytes / n.max(1) }
    }

    /// How many `T` fit, a few at least.
    pub fn capacity<T>(&self) -> usize {
        (self.bytes / size_of::<T>()).max(1024)
    }
}

/// Adds an item to a list that is to hold `limit` at most: it grows by doubling, but never past that.
pub(super) fn push_within<T>(items: &mut Vec<T>, item: T, limit: usize) {
    if items.len() == items.capacity() {
        items.reserve_exact(limit.saturating_sub(items.len()).min(items.len()).max(1024));
    }
    items.push(item);
}

/// A sequence that is written once and then read once, in the same order.
pub struct Spool<K, V> {
    room: Room,
    key_bytes: usize,
    memory: Vec<Entry<K, V>>,
    disk: Option<SpoolWriter>,
    len: u64,
}

struct SpoolWriter {
    folder: PathBuf,
    file: BufWriter<File>,
    scratch: Vec<u8>,
}

impl<K: Key, V: Pod + Send + Sync> Spool<K, V> {
    /// An empty one, for n-grams of `key_bytes` bytes.
    pub fn new(room: Room, key_bytes: usize) -> Self {
        Self { room, key_bytes, memory: Vec::new(), disk: None, len: 0 }
    }

    /// A sequence that is in memory already.
    pub(super) fn of(memory: Vec<Entry<K, V>>, room: Room, key_bytes: usize) -> Self {
        Self { room, key_bytes, len: memory.len() as u64, memory, disk: None }
    }

    /// How many entries there are.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one at the end.
    pub fn push(&mut self, key: K, value: V) -> Result<()> {
        self.len += 1;
        let limit = self.room.capacity::<Entry<K, V>>();
        push_within(&mut self.memory, Entry { key, value }, limit);
        if self.memory.len() >= limit { self.spill() } else { Ok(()) }
    }

    fn spill(&mut self) -> Result<()> {
        if self.disk.is_none() {
            self.disk = Some(SpoolWriter::new(&self.room.folder)?);
        }
        let (memory, disk, key_bytes) = (&mut self.memory, &mut self.disk, self.key_bytes);
        if let Some(disk) = disk {
            memory.drain(..).try_for_each(|entry| disk.push(entry, key_bytes))?;
            // From now on little needs to wait in memory.
            self.room.bytes = self.room.bytes.min(1 << 20);
            self.memory.shrink_to(self.room.capacity::<Entry<K, V>>());
        }
        Ok(())
    }

    /// The entries, first to last.
    pub fn read(mut self) -> Result<SpoolReader<K, V>> {
        if self.disk.is_some() {
            self.spill()?;
        }
        match self.disk {
            None => Ok(SpoolReader::Memory(self.memory.into_iter())),
            Some(disk) => disk.read(self.key_bytes),
        }
    }
}

impl SpoolWriter {
    fn new(folder: &Path) -> Result<Self> {
        let file = tempfile::tempfile_in(folder).map_err(ClassicError::io("create a temporary file in", folder))?;
        Ok(Self { folder: folder.to_owned(), file: BufWriter::with_capacity(1 << 18, file), scratch: Vec::new() })
    }

    fn push<K: Key, V: Pod>(&mut self, entry: Entry<K, V>, key_bytes: usize) -> Result<()> {
        self.scratch.clear();
        entry.key.put(key_bytes, &mut self.scratch);
        self.scratch.extend_from_slice(bytemuck::bytes_of(&entry.value));
        self.file.write_all(&self.scratch).map_err(ClassicError::io("write a temporary file in", &self.folder))
    }

    fn read<K: Key, V: Pod>(self, key_bytes: usize) -> Result<SpoolReader<K, V>> {
        let failed = |error: std::io::Error| ClassicError::io("write a temporary file in", &self.folder)(error);
        let mut file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        let record = vec![0; key_bytes + size_of::<V>()];
        let file = BufReader::with_capacity(1 << 17, file);
        Ok(SpoolReader::Disk(DiskReader { folder: self.folder, file, key_bytes, record }))
    }
}

/// Reads a [`Spool`].
pub enum SpoolReader<K, V> {
    /// What stayed in memory.
    Memory(std::vec::IntoIter<Entry<K, V>>),
    /// What went to a file.
    Disk(DiskReader),
}

/// The file of a [`SpoolReader`].
pub struct DiskReader {
    folder: PathBuf,
    file: BufReader<File>,
    key_bytes: usize,
    record: Vec<u8>,
}

impl DiskReader {
    fn next<K: Key, V: Pod>(&mut self) -> Option<Result<Entry<K, V>>> {
        match self.file.read_exact(&mut self.record) {
            Ok(()) => {
                let (key, value) = self.record.split_at(self.key_bytes);
                Some(Ok(Entry { key: K::take(key), value: bytemuck::pod_read_unaligned(value) }))
            }
            // The file was written whole by this program, so it ends after a whole record.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => None,
            Err(error) => Some(Err(ClassicError::io("read a temporary file in", &self.folder)(error))),
        }
    }
}

impl<K: Key, V: Pod> Iterator for SpoolReader<K, V> {
    type Item = Result<Entry<K, V>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory(entries) => entries.next().map(Ok),
            Self::Disk(disk) => disk.next(),
        }
    }
}
