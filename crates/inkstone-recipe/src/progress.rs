//! How work talks to the person who waits for it, and how that person stops it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Where running work reports to. Implemented by the program's printer; [`Silent`] in tests.
pub trait Progress: Send + Sync {
    /// Begins a task of `total` units (`None`: unknown), e.g. `("reading", Some(bytes), "B")`.
    /// Units `"B"` are shown as bytes; all others as a count with their name.
    fn task(&self, name: &str, total: Option<u64>, unit: &str) -> Box<dyn Task>;
    /// One line of talk, e.g. a sample or a validation loss.
    fn say(&self, line: &str);
    /// One line that the user should read.
    fn warn(&self, line: &str);
}

/// A task under way; dropping it ends it.
pub trait Task: Send + Sync {
    /// `done` units of the total are done.
    fn set(&self, done: u64);
    /// A short note beside the bar, e.g. `loss 3.21`.
    fn note(&self, note: &str);
}

/// Says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn task(&self, _name: &str, _total: Option<u64>, _unit: &str) -> Box<dyn Task> {
        Box::new(Self)
    }
    fn say(&self, _line: &str) {}
    fn warn(&self, _line: &str) {}
}

impl Task for Silent {
    fn set(&self, _done: u64) {}
    fn note(&self, _note: &str) {}
}

/// The user's wish to stop, shared between the signal handler and the work.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicU8>);

impl Interrupt {
    /// Asks once more to stop and returns how often that was before.
    pub fn request(&self) -> u8 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    /// Whether a stop was asked for.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) > 0
    }

    /// Takes the wish back, e.g. before the next answer of a chat.
    pub fn clear(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}
