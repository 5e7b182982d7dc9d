//! Arrays that were made here, or lie in a file that is mapped into memory.

use std::fs::File;
use std::ops::{Deref, Range};
use std::path::Path;
use std::sync::Arc;

use bytemuck::Pod;
use memmap2::Mmap;

use crate::error::{ClassicError, Result};

/// An array of `T`.
#[derive(Debug, Clone)]
pub(super) enum Section<T> {
    /// Made here.
    Owned(Vec<T>),
    /// Part of a file; the range is one of bytes, checked to hold whole, aligned `T`.
    Mapped(Arc<Mmap>, Range<usize>),
}

impl<T> From<Vec<T>> for Section<T> {
    fn from(items: Vec<T>) -> Self {
        Self::Owned(items)
    }
}

impl<T: Pod> Section<T> {
    /// A part of a file, if it holds whole, aligned `T`.
    pub(super) fn mapped(map: &Arc<Mmap>, range: Range<usize>) -> Option<Self> {
        let bytes = map.get(range.clone())?;
        bytemuck::try_cast_slice::<u8, T>(bytes).ok()?;
        Some(Self::Mapped(Arc::clone(map), range))
    }
}

impl<T: Pod> Deref for Section<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(items) => items,
            Self::Mapped(map, range) => bytemuck::cast_slice(&map[range.clone()]),
        }
    }
}

/// Maps a file into memory.
#[allow(unsafe_code, reason = "memory maps have no safe constructor")]
pub(super) fn map(path: &Path) -> Result<Mmap> {
    let file: File = inkstone_recipe::fs::open(path)?;
    // SAFETY: models are written aside and renamed, never changed in place, by this program. If another program changes the
    // file meanwhile, numbers change, which every reader treats as outside data: each index is checked when it is used.
    unsafe { Mmap::map(&file) }.map_err(ClassicError::io("map", path))
}
