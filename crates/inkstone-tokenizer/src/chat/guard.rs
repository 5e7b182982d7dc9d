//! Keeps messages from writing special tokens: suspicious characters become placeholders.
//!
//! A string of a special token in the rendered text can come from a message in three ways: it stands
//! in the message; it begins at the message's end and goes on in what follows; it begins before the
//! message and ends in it. In each case one character of the message that belongs to it is replaced by
//! a character of Unicode's private plane 15 which occurs in no message. A string that still stands in
//! the rendered text was written by the template.

use std::collections::{BTreeMap, BTreeSet};

use crate::specials::{Specials, overlapping_matches};

/// The first placeholder; [`START`] and [`END`] lie before.
const FIRST_PLACEHOLDER: u32 = 0xF_0100;
/// Written by the template before what the assistant says.
pub(super) const START: char = '\u{F0000}';
/// Written by the template after what the assistant says.
pub(super) const END: char = '\u{F0001}';

/// Which placeholder stands for which character.
#[derive(Debug, Default)]
pub(super) struct Guard {
    originals: BTreeMap<char, char>,
    placeholders: BTreeMap<char, char>,
    taken: BTreeSet<char>,
    next: u32,
}

impl Guard {
    /// A guard whose placeholders occur in none of `texts`.
    pub(super) fn new<'a>(texts: impl Iterator<Item = &'a str>) -> Self {
        let private = |c: &char| *c >= '\u{F0000}';
        Self { taken: texts.flat_map(str::chars).filter(private).collect(), next: FIRST_PLACEHOLDER, ..Self::default() }
    }

    /// Whether no character had to be replaced.
    pub(super) fn is_idle(&self) -> bool {
        self.originals.is_empty()
    }

    /// The character that `c` stands for, if it is a placeholder.
    pub(super) fn original(&self, c: char) -> Option<char> {
        self.originals.get(&c).copied()
    }

    /// A message's content with placeholders.
    pub(super) fn protect(&mut self, content: &str, specials: &Specials) -> String {
        let positions = suspicious(content, specials);
        if positions.is_empty() {
            return content.to_owned();
        }
        let characters = content.char_indices();
        characters.map(|(at, c)| if positions.contains(&at) { self.placeholder(c) } else { c }).collect()
    }

    fn placeholder(&mut self, original: char) -> char {
        if let Some(&placeholder) = self.placeholders.get(&original) {
            return placeholder;
        }
        let placeholder = self.unused();
        self.placeholders.insert(original, placeholder);
        self.originals.insert(placeholder, original);
        placeholder
    }

    /// Planes 15 and 16 have 131,000 characters, of which a message would have to use every one.
    fn unused(&mut self) -> char {
        loop {
            let candidate = char::from_u32(self.next).unwrap_or(char::MAX);
            self.next += 1;
            if !self.taken.contains(&candidate) || candidate == char::MAX {
                return candidate;
            }
        }
    }
}

/// The places of the characters to be replaced.
fn suspicious(content: &str, specials: &Specials) -> BTreeSet<usize> {
    let mut positions: BTreeSet<usize> =
        content.char_indices().filter(|(_, c)| [START, END].contains(c)).map(|(at, _)| at).collect();
    for special in specials.strings() {
        positions.extend(overlapping_matches(content, special).into_iter().map(|range| range.start));
        positions.extend(begins_at_end(content, special));
        positions.extend(ends_at_start(content, special));
    }
    positions
}

/// Where the end of `content` is a beginning of `special`.
fn begins_at_end(content: &str, special: &str) -> Vec<usize> {
    let lengths = special.char_indices().map(|(length, _)| length).skip(1);
    lengths.filter(|&length| content.ends_with(&special[..length])).map(|length| content.len() - length).collect()
}

/// The start of `content`, if it is an end of `special`.
fn ends_at_start(content: &str, special: &str) -> Option<usize> {
    let starts = special.char_indices().map(|(start, _)| start).skip(1);
    let mut ends = starts.map(|start| &special[start..]);
    ends.any(|end| content.starts_with(end)).then_some(0)
}
