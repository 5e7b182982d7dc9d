//! Buffers that stay with their thread, so that kernels allocate nothing in the steady state.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

thread_local! {
    static KEPT: Cell<Vec<Vec<f32>>> = const { Cell::new(Vec::new()) };
}

/// A buffer with old content, handed back to its thread at the end. Buffers nest: a thread that waits for
/// others may run another kernel meanwhile.
pub(crate) struct Scratch {
    buffer: Vec<f32>,
    length: usize,
}

impl Scratch {
    /// A buffer of `length` elements.
    pub(crate) fn take(length: usize) -> Self {
        let mut kept = KEPT.take();
        let mut buffer = kept.pop().unwrap_or_default();
        KEPT.set(kept);
        if buffer.len() < length {
            buffer.resize(length, 0.0);
        }
        Self { buffer, length }
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
