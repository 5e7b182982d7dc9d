//! Exact deduplication in bounded memory.
//!
//! 128-bit hashes are spread over partitions by their first byte; a partition that has grown is
//! appended to its file. At the end each partition is sorted alone, and of equal hashes the one
//! that came first stays. The result does not depend on what was in memory and what on disk.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use crate::error::CorpusError;

const PARTITIONS: usize = 256;
/// A partition in memory that reaches this is appended to its file.
const SPILL_BYTES: usize = 32 << 10;
/// Bytes of a hash and the number of its document.
const ENTRY_BYTES: usize = 24;

/// Gathers hashes.
pub(crate) struct Duplicates {
    folder: Option<PathBuf>,
    buffers: Vec<Vec<u8>>,
}

impl Duplicates {
    /// Spills into `folder`, which is emptied first. Where `wanted` is false, all will be kept.
    pub(crate) fn new(folder: &Path, wanted: bool) -> Result<Self, CorpusError> {
        if !wanted {
            return Ok(Self { folder: None, buffers: Vec::new() });
        }
        remove(folder)?;
        std::fs::create_dir_all(folder).map_err(CorpusError::io(folder))?;
        Ok(Self { folder: Some(folder.to_owned()), buffers: vec![Vec::new(); PARTITIONS] })
    }

    /// Notes the content hash of document `number`.
    pub(crate) fn add(&mut self, hash: u128, number: u64) -> Result<(), CorpusError> {
        let Some(folder) = &self.folder else {
            return Ok(());
        };
        let partition = usize::from(hash.to_be_bytes()[0]);
        let buffer = &mut self.buffers[partition];
        buffer.extend_from_slice(&hash.to_le_bytes());
        buffer.extend_from_slice(&number.to_le_bytes());
        if buffer.len() >= SPILL_BYTES { spill(&partition_path(folder, partition), buffer) } else { Ok(()) }
    }

    /// Decides about `count` documents.
    pub(crate) fn finish(mut self, count: u64) -> Result<Kept, CorpusError> {
        let mut kept = Kept::all(count);
        let Some(folder) = self.folder.take() else {
            return Ok(kept);
        };
        for (partition, buffer) in std::mem::take(&mut self.buffers).into_iter().enumerate() {
            let entries = load(&partition_path(&folder, partition), &buffer)?;
            drop_repeated(entries, &mut kept);
        }
        remove(&folder)?;
        Ok(kept)
    }
}

fn partition_path(folder: &Path, partition: usize) -> PathBuf {
    folder.join(format!("{partition:02x}"))
}

fn remove(folder: &Path) -> Result<(), CorpusError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CorpusError::io(folder)(error)),
        _ => Ok(()),
    }
}

fn spill(path: &Path, buffer: &mut Vec<u8>) -> Result<(), CorpusError> {
    let mut file = OpenOptions::new().append(true).create(true).open(path).map_err(CorpusError::io(path))?;
    file.write_all(buffer).map_err(CorpusError::io(path))?;
    buffer.clear();
    Ok(())
}

fn load(path: &Path, rest: &[u8]) -> Result<Vec<(u128, u64)>, CorpusError> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(mut file) => file.read_to_end(&mut bytes).map(drop).map_err(CorpusError::io(path))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(CorpusError::io(path)(error)),
    }
    bytes.extend_from_slice(rest);
    Ok(bytes.chunks_exact(ENTRY_BYTES).map(entry).collect())
}

fn entry(bytes: &[u8]) -> (u128, u64) {
    let (mut hash, mut number) = ([0; 16], [0; 8]);
    hash.copy_from_slice(&bytes[..16]);
    number.copy_from_slice(&bytes[16..]);
    (u128::from_le_bytes(hash), u64::from_le_bytes(number))
}

fn drop_repeated(mut entries: Vec<(u128, u64)>, kept: &mut Kept) {
    entries.sort_unstable();
    for pair in entries.windows(2) {
        if pair[0].0 == pair[1].0 {
            kept.drop_one(pair[1].1);
        }
    }
}

/// One bit a document: whether it stays.
pub(crate) struct Kept {
    dropped: Vec<u64>,
    count: u64,
    total: u64,
}

impl Kept {
    fn all(total: u64) -> Self {
        let words = usize::try_from(total.div_ceil(64)).unwrap_or(usize::MAX);
        Self { dropped: vec![0; words], count: total, total }
    }

    fn drop_one(&mut self, number: u64) {
        self.dropped[(number / 64) as usize] |= 1 << (number % 64);
        self.count -= 1;
    }

    /// Whether document `number` stays.
    pub(crate) fn contains(&self, number: u64) -> bool {
        self.dropped.get((number / 64) as usize).is_some_and(|word| word >> (number % 64) & 1 == 0)
    }

    /// How many stay.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// How many don't.
    pub(crate) fn duplicates(&self) -> u64 {
        self.total - self.count
    }
}

#[cfg(test)]
mod tests {
    use super::{Duplicates, Kept};

    fn decide(hashes: impl Iterator<Item = u128>) -> Kept {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut duplicates = Duplicates::new(&folder.path().join("d"), true).expect("created");
        let mut count = 0;
        for hash in hashes {
            duplicates.add(hash, count).expect("added");
            count += 1;
        }
        let kept = duplicates.finish(count).expect("finished");
        assert!(!folder.path().join("d").exists());
        kept
    }

    #[test]
    fn the_first_of_equals_stays() {
        let kept = decide([7, 1 << 120, 7, 9, 1 << 120, 7].into_iter());
        assert_eq!((0..6).map(|n| kept.contains(n)).collect::<Vec<_>>(), [true, true, false, true, false, false]);
        assert_eq!((kept.count(), kept.duplicates()), (3, 3));
    }

    #[test]
    fn spilled_partitions_are_found_again() {
        let kept = decide((0..10_000).map(|n| u128::from(n % 4_000_u32)));
        assert!((0..10_000).all(|n| kept.contains(n) == (n < 4_000)));
    }
}
