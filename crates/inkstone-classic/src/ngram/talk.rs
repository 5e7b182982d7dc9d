//! Who hears of long work, and who may end it.

use inkstone_recipe::{Interrupt, Progress, Task};

use crate::error::{ClassicError, Result};

/// Who hears of the work, and who may end it.
#[derive(Clone, Copy)]
pub struct Talk<'a> {
    /// Where progress is shown.
    pub progress: &'a dyn Progress,
    /// Whether the user asked to stop.
    pub interrupt: &'a Interrupt,
}

impl Talk<'_> {
    /// `Err(Interrupted)` once the user has asked to stop.
    pub fn check(self) -> Result<()> {
        if self.interrupt.requested() { Err(ClassicError::Interrupted) } else { Ok(()) }
    }

    /// The same items, with progress, until the user asks to stop.
    pub(super) fn watch<I>(self, name: &str, total: u64, items: I) -> Watched<I> {
        let task = self.progress.task(name, Some(total), "n-grams");
        Watched { items, task, interrupt: self.interrupt.clone(), done: 0 }
    }
}

/// Items between two looks at the user's wishes.
const EVERY: u64 = 1 << 16;

/// Items that are counted as they pass.
pub(super) struct Watched<I> {
    items: I,
    task: Box<dyn Task>,
    interrupt: Interrupt,
    done: u64,
}

impl<T, I: Iterator<Item = Result<T>>> Iterator for Watched<I> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        self.done += 1;
        if self.done.is_multiple_of(EVERY) {
            self.task.set(self.done);
            if self.interrupt.requested() {
                return Some(Err(ClassicError::Interrupted));
            }
        }
        self.items.next()
    }
}
