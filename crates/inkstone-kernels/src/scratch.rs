//! Buffers that stay with their thread, so that kernels allocate nothing in the steady state.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static KEPT: Cell<Vec<Vec<f32>>> = const { Cell::new(Vec::new()) };
}

/// Elements of the smallest buffer.
const SMALLEST: usize = 1 << 10;

/// A buffer with old content, handed back to its thread at the end. Buffers nest: a thread that waits for
/// others may run another kernel meanwhile.
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    length: usize,
}

impl Scratch {
    /// A buffer of `length` elements. Sizes are powers of two, so that no large buffer goes to one who wants a small one and leaves the
    /// next who wants a large one to make another; what is not touched of it takes no memory.
    pub(crate) fn take(length: usize) -> Self {
        let size = length.max(SMALLEST).next_power_of_two();
        let mut kept = KEPT.take();
        let found = kept.iter().rposition(|buffer| buffer.len() == size);
        let buffer = found.map_or_else(|| vec![0.0; size], |n| kept.swap_remove(n));
        KEPT.set(kept);
        Self { buffer, length }
    }
}

impl Scratch {
    /// The buffer as 32-bit words.
    pub(crate) fn as_words(&self) -> &[u32] {
        // SAFETY: f32 and u32 have the same size and alignment, and every bit pattern is valid in both.
        unsafe { std::slice::from_raw_parts(self.buffer.as_ptr().cast(), self.length) }
    }

    /// The buffer as 32-bit words, to be written.
    pub(crate) fn words(&mut self) -> &mut [u32] {
        // SAFETY: f32 and u32 have the same size and alignment, and every bit pattern is valid in both.
        unsafe { std::slice::from_raw_parts_mut(self.buffer.as_mut_ptr().cast(), self.length) }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let mut kept = KEPT.take();
        kept.push(std::mem::take(&mut self.buffer));
        KEPT.set(kept);
    }
}

impl Deref for Scratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.buffer[..self.length]
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.buffer[..self.length]
    }
}
