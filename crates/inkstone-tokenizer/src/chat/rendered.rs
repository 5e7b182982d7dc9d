//! What a template wrote, placeholders and marks taken out again.

use std::ops::Range;

use super::guard::{END, Guard, START};

/// A rendered conversation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rendered {
    /// The text.
    pub text: String,
    /// Where in `text` the characters stand that may not be part of a special token; ascending.
    pub guarded: Vec<usize>,
    /// Where in `text` the assistant speaks.
    pub spans: Vec<Range<usize>>,
}

impl Rendered {
    pub(super) fn new(rendered: &str, guard: &Guard) -> Self {
        let mut out = Self::default();
        out.text.reserve(rendered.len());
        let mut begin = None;
        for c in rendered.chars() {
            match c {
                START => begin = Some(out.text.len()),
                END => out.spans.extend(begin.take().map(|begin| begin..out.text.len())),
                c => out.push(c, guard),
            }
        }
        out
    }

    fn push(&mut self, c: char, guard: &Guard) {
        if let Some(original) = guard.original(c) {
            self.guarded.push(self.text.len());
            self.text.push(original);
        } else {
            self.text.push(c);
        }
    }

    /// Whether a character within `range` came from a message and was guarded.
    pub(super) fn is_guarded(&self, range: &Range<usize>) -> bool {
        let next = self.guarded.partition_point(|&at| at < range.start);
        self.guarded.get(next).is_some_and(|&at| at < range.end)
    }
}
