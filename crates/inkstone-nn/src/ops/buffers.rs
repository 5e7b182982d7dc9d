//! Memory of the operations' outputs, used again from step to step.
//!
//! A training step asks for the same sizes as the one before it. Memory that goes back to the system in between costs page faults
//! and cleared pages, a quarter of the step; so a tensor's buffer is a part of memory that stays, and returns to it when the
//! tensor is dropped. Neighbours that are free are one again: what the forward pass kept, the gradients take over, whatever their
//! sizes. A buffer comes from the lowest place where it fits, so that the rest is never touched.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{AllocationProperty, Bytes, Shape};
use cubecl_environment::bytes::{AccessError, AccessPolicy, AllocationController};

use super::stored::Stored;

/// Words of 32 bits in a page of memory: a buffer is whole pages. Smaller ones are the allocator's business.
const PAGE: usize = 1 << 10;
const SMALLEST: usize = 16 * PAGE;
/// Words that are asked of the system at once; pages that nobody touches are not really there.
const SEGMENT: usize = 1 << 24;

static ARENA: Mutex<Arena> = Mutex::new(Arena { segments: Vec::new() });

/// All memory that was ever asked for.
struct Arena {
    segments: Vec<Segment>,
}

/// Memory in one piece.
struct Segment {
    first: Words,
    free: Free,
}

/// The first of some words, which stay where they are as long as the program runs.
#[derive(Debug, Clone, Copy)]
struct Words(NonNull<f32>);

#[allow(unsafe_code, reason = "an address that is only followed by the owner of the words behind it")]
// SAFETY: the words have one owner at a time, a `Part`, who alone follows the address.
unsafe impl Send for Words {}
#[allow(unsafe_code, reason = "as above")]
// SAFETY: as above.
unsafe impl Sync for Words {}

/// What is free of a segment: length by first word, no two adjacent.
#[derive(Debug, Default)]
struct Free(BTreeMap<usize, usize>);

impl Free {
    /// The lowest place of so many words.
    fn take(&mut self, length: usize) -> Option<usize> {
        let (&start, &found) = self.0.iter().find(|&(_, &found)| found >= length)?;
        self.0.remove(&start);
        if found > length {
            self.0.insert(start + length, found - length);
        }
        Some(start)
    }

    fn give(&mut self, mut start: usize, mut length: usize) {
        if let Some(after) = self.0.remove(&(start + length)) {
            length += after;
        }
        if let Some((&before, &size)) = self.0.range(..start).next_back()
            && before + size == start
        {
            (start, length) = (before, size + length);
        }
        self.0.insert(start, length);
    }
}

impl Arena {
    fn take(&mut self, length: usize) -> Part {
        let found = self.segments.iter_mut().enumerate().find_map(|(n, segment)| Some((n, segment.free.take(length)?)));
        let (segment, start) = found.unwrap_or_else(|| (self.grow(length), 0));
        Part { segment, start, length, first: self.segments[segment].at(start) }
    }

    /// A new segment whose first words are taken; its index.
    fn grow(&mut self, length: usize) -> usize {
        let size = length.max(SEGMENT);
        let words = Box::leak(vec![0.0_f32; size].into_boxed_slice());
        let mut free = Free::default();
        free.give(0, size);
        free.take(length);
        self.segments.push(Segment { first: Words(NonNull::from(words).cast()), free });
        self.segments.len() - 1
    }
}

impl Segment {
    fn at(&self, start: usize) -> Words {
        Words(self.first.0.map_addr(|address| address.saturating_add(start * size_of::<f32>())))
    }
}

fn arena() -> MutexGuard<'static, Arena> {
    ARENA.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Words of a segment that nobody else has.
#[derive(Debug)]
struct Part {
    segment: usize,
    start: usize,
    length: usize,
    first: Words,
}

impl Drop for Part {
    fn drop(&mut self) {
        arena().segments[self.segment].free.give(self.start, self.length);
    }
}

/// Where the words of a buffer are.
#[derive(Debug)]
enum Memory {
    Small(Vec<f32>),
    Large(Part),
}

#[allow(unsafe_code, reason = "parts of one segment are lent to different owners")]
impl Memory {
    fn words(&self) -> &[f32] {
        match self {
            Self::Small(words) => words,
            // SAFETY: the words are initialised, stay where they are, and belong to this part alone.
            Self::Large(part) => unsafe { std::slice::from_raw_parts(part.first.0.as_ptr(), part.length) },
        }
    }

    fn words_mut(&mut self) -> &mut [f32] {
        match self {
            Self::Small(words) => words,
            // SAFETY: as above, and the part is borrowed alone.
            Self::Large(part) => unsafe { std::slice::from_raw_parts_mut(part.first.0.as_ptr(), part.length) },
        }
    }
}

/// Numbers to be written, with whatever they held before.
#[derive(Debug)]
pub(super) struct Buffer<N: Stored> {
    memory: Memory,
    length: usize,
    holds: PhantomData<N>,
}

impl<N: Stored> Buffer<N> {
    /// `length` numbers without a meaning.
    pub(super) fn new(length: usize) -> Self {
        let words = (length * size_of::<N>()).div_ceil(size_of::<f32>());
        let memory = if words < SMALLEST {
            Memory::Small(vec![0.0; words])
        } else {
            Memory::Large(arena().take(words.next_multiple_of(PAGE)))
        };
        Self { memory, length, holds: PhantomData }
    }

    /// The tensor of these numbers, without a copy.
    pub(super) fn into_tensor<const D: usize>(self, shape: [usize; D]) -> FlexTensor {
        self.into_shaped(Shape::from(shape))
    }

    /// [`Self::into_tensor`] of any number of axes.
    #[allow(unsafe_code, reason = "the tensor library takes foreign memory on its maker's word")]
    pub(super) fn into_shaped(self, shape: Shape) -> FlexTensor {
        let bytes = self.length * size_of::<N>();
        debug_assert_eq!(self.length, shape.num_elements());
        // SAFETY: all of the controller's memory is initialised: it is a slice of numbers.
        let bytes = unsafe { Bytes::from_controller(Box::new(self), bytes) };
        FlexTensor::new(bytes, Layout::contiguous(shape), N::dtype())
    }
}

impl<N: Stored> Deref for Buffer<N> {
    type Target = [N];
    fn deref(&self) -> &[N] {
        &bytemuck::cast_slice(self.memory.words())[..self.length]
    }
}

impl<N: Stored> DerefMut for Buffer<N> {
    fn deref_mut(&mut self) -> &mut [N] {
        &mut bytemuck::cast_slice_mut(self.memory.words_mut())[..self.length]
    }
}

#[allow(unsafe_code, reason = "the tensor library sees memory as bytes")]
impl<N: Stored> AllocationController for Buffer<N> {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let words = self.memory.words_mut();
        // SAFETY: the buffer's own memory, borrowed with it; the caller writes initialised bytes only, and every
        // pattern of bytes is a number.
        Ok(unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast(), size_of_val(words)) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let words = self.memory.words();
        // SAFETY: the buffer's own memory, borrowed with it.
        Ok(unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Arena, Free, PAGE, SEGMENT, SMALLEST};

    #[test]
    fn neighbours_that_are_free_are_one_again() {
        let mut free = Free::default();
        free.give(0, 100);
        let parts: Vec<usize> = [10, 20, 30].iter().map(|&length| free.take(length).expect("room")).collect();
        assert_eq!(parts, [0, 10, 30]);
        free.give(10, 20);
        assert_eq!(free.take(21), Some(60), "the hole is too small");
        assert_eq!(free.take(20), Some(10), "the lowest place that is large enough");
        for (start, length) in [(0, 10), (30, 30), (60, 21), (10, 20)] {
            free.give(start, length);
        }
        assert_eq!(free.0.into_iter().collect::<Vec<_>>(), [(0, 100)]);
    }

    #[test]
    fn parts_of_all_sizes_take_turns_in_the_same_memory() {
        let mut arena = Arena { segments: Vec::new() };
        for size in [1, 3, 7] {
            let parts: Vec<_> = (0..8).map(|_| std::mem::ManuallyDrop::new(arena.take(size * SMALLEST))).collect();
            for part in parts {
                assert_eq!(part.first.0.addr().get() % align_of::<f32>(), 0);
                arena.segments[part.segment].free.give(part.start, part.length);
            }
        }
        assert_eq!(arena.segments.len(), 1);
        let large = std::mem::ManuallyDrop::new(arena.take(SEGMENT + PAGE));
        assert_eq!((large.segment, large.start, large.length), (1, 0, SEGMENT + PAGE));
    }
}
