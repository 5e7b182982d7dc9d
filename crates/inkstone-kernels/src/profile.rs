//! Where the time goes: while somebody records, every kernel leaves a span with the work that it had to do.
//!
//! Kernels are called from one thread, which waits for those that help it: a span is what that thread waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Precision;

/// Spans that are kept; those after them are lost.
pub const MOST: usize = 1 << 20;

static ON: AtomicBool = AtomicBool::new(false);
static KEPT: Mutex<Option<Kept>> = Mutex::new(None);

struct Kept {
    began: Instant,
    spans: Vec<Span>,
}

/// What a kernel has to do at least.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Work {
    /// Multiplications and additions of matrix products.
    pub flops: f64,
    /// Of the operands of those products.
    pub precision: Precision,
    /// Bytes that are read or written, each element once.
    pub bytes: f64,
}

impl Work {
    /// So many bytes and no product.
    pub(crate) fn moving(bytes: usize) -> Self {
        Self { bytes: bytes as f64, ..Self::default() }
    }
}

/// One call of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The kernel, or what was marked.
    pub name: &'static str,
    /// From the beginning of the recording.
    pub start: Duration,
    /// How long it took.
    pub duration: Duration,
    /// What it had to do; nothing for a mark.
    pub work: Work,
}

/// Begins to record; a recording that was under way is dropped.
pub fn record() {
    *kept() = Some(Kept { began: Instant::now(), spans: Vec::new() });
    ON.store(true, Ordering::Release);
}

/// Ends the recording; the spans in the order in which they ended.
pub fn finish() -> Vec<Span> {
    ON.store(false, Ordering::Release);
    kept().take().map(|kept| kept.spans).unwrap_or_default()
}

/// A span from now until it is dropped, for what consists of kernels; `None` while nobody records.
pub fn mark(name: &'static str) -> Option<Open> {
    span(name, Work::default)
}

/// A span of a kernel; `None` while nobody records.
pub(crate) fn span(name: &'static str, work: impl FnOnce() -> Work) -> Option<Open> {
    ON.load(Ordering::Relaxed).then(|| Open { name, work: work(), started: Instant::now() })
}

/// A span that has not ended.
#[derive(Debug)]
pub struct Open {
    name: &'static str,
    work: Work,
    started: Instant,
}

impl Drop for Open {
    fn drop(&mut self) {
        let duration = self.started.elapsed();
        if let Some(Kept { began, spans }) = &mut *kept()
            && spans.len() < MOST
        {
            let start = self.started.saturating_duration_since(*began);
            spans.push(Span { name: self.name, start, duration, work: self.work });
        }
    }
}

fn kept() -> MutexGuard<'static, Option<Kept>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
