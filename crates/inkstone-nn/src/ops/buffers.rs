//! Memory of the operations' outputs, used again from step to step.
//!
//! A training step asks for the same sizes as the one before it. Memory that goes back to the system in
//! between costs page faults and cleared pages, a quarter of the step; so a tensor's buffer returns here when the
//! tensor is dropped. All that is in use or kept never exceeds [`SLACK`] times the most that was ever in use at once.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{AllocationProperty, Bytes, Shape};
use cubecl_environment::bytes::{AccessError, AccessPolicy, AllocationController};

use super::stored::Stored;

/// Smaller buffers are the allocator's business.
const SMALLEST: usize = 1 << 14;

/// Of the peak: the sizes that a backward pass asks for are not all those that the forward pass left. With less, buffers go back to the system and are
/// asked for again in every step.
const SLACK: f64 = 1.5;

static KEPT: Mutex<Kept> = Mutex::new(Kept { by_length: BTreeMap::new(), kept: 0, used: 0, peak: 0 });

/// Buffers that wait, by their length; counts are of words of 32 bits.
struct Kept {
    by_length: BTreeMap<usize, Vec<Vec<f32>>>,
    kept: usize,
    used: usize,
    peak: usize,
}

impl Kept {
    fn take(&mut self, length: usize) -> Option<Vec<f32>> {
        self.used += length;
        let found = self.by_length.get_mut(&length).and_then(Vec::pop);
        if found.is_some() {
            self.kept -= length;
        } else {
            self.peak = self.peak.max(self.used);
            self.make_room();
        }
        found
    }

    fn give(&mut self, buffer: Vec<f32>) {
        self.used = self.used.saturating_sub(buffer.len());
        self.kept += buffer.len();
        self.by_length.entry(buffer.len()).or_default().push(buffer);
    }

    /// Lets the largest go until the rest fits below the peak.
    fn make_room(&mut self) {
        let most = (self.peak as f64 * SLACK) as usize;
        while self.kept + self.used > most {
            let Some(mut largest) = self.by_length.last_entry() else { return };
            match largest.get_mut().pop() {
                Some(buffer) => self.kept -= buffer.len(),
                None => drop(largest.remove()),
            }
        }
    }
}

fn kept() -> std::sync::MutexGuard<'static, Kept> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Numbers to be written, with whatever they held before.
#[derive(Debug)]
pub(super) struct Buffer<N: Stored> {
    words: Vec<f32>,
    length: usize,
    holds: PhantomData<N>,
}

impl<N: Stored> Buffer<N> {
    /// `length` numbers without a meaning.
    pub(super) fn new(length: usize) -> Self {
        let words = (length * size_of::<N>()).div_ceil(size_of::<f32>());
        let reused = if words < SMALLEST { None } else { kept().take(words) };
        Self { words: reused.unwrap_or_else(|| vec![0.0; words]), length, holds: PhantomData }
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
        // SAFETY: all of the controller's memory is initialised: it is a vector of numbers.
        let bytes = unsafe { Bytes::from_controller(Box::new(self), bytes) };
        FlexTensor::new(bytes, Layout::contiguous(shape), N::dtype())
    }
}

impl<N: Stored> Drop for Buffer<N> {
    fn drop(&mut self) {
        if self.words.len() >= SMALLEST {
            kept().give(std::mem::take(&mut self.words));
        }
    }
}

impl<N: Stored> Deref for Buffer<N> {
    type Target = [N];
    fn deref(&self) -> &[N] {
        &bytemuck::cast_slice(&self.words)[..self.length]
    }
}

impl<N: Stored> DerefMut for Buffer<N> {
    fn deref_mut(&mut self) -> &mut [N] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.length]
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
        let (pointer, length) = (self.words.as_mut_ptr().cast(), self.words.len() * size_of::<f32>());
        // SAFETY: the vector's own memory, borrowed with it; the caller writes initialised bytes only, and every
        // pattern of bytes is a number.
        Ok(unsafe { std::slice::from_raw_parts_mut(pointer, length) })
    }

    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        // SAFETY: the vector's own memory, borrowed with it.
        Ok(unsafe { std::slice::from_raw_parts(self.words.as_ptr().cast(), self.words.len() * size_of::<f32>()) })
    }
}

#[cfg(test)]
mod tests {
    use super::{Kept, SMALLEST};

    fn kept() -> Kept {
        Kept { by_length: std::collections::BTreeMap::new(), kept: 0, used: 0, peak: 0 }
    }

    #[test]
    fn a_buffer_comes_back_and_the_total_stays_below_the_peak() {
        let mut kept = kept();
        let lengths = [SMALLEST, 3 * SMALLEST, 2 * SMALLEST];
        for _ in 0..3 {
            let taken: Vec<Vec<f32>> = lengths.iter().map(|&n| kept.take(n).unwrap_or_else(|| vec![0.0; n])).collect();
            assert_eq!((kept.used, kept.kept), (6 * SMALLEST, 0));
            for buffer in taken {
                kept.give(buffer);
            }
            assert_eq!((kept.used, kept.kept), (0, 6 * SMALLEST));
        }
        assert!(kept.take(4 * SMALLEST).is_none(), "no such length was kept");
        assert_eq!(kept.peak, 6 * SMALLEST);
        assert!(kept.used + kept.kept <= kept.peak * 3 / 2, "{} kept", kept.kept);
    }
}
