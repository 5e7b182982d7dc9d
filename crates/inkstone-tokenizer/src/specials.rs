//! The special tokens of a tokenizer: what they are for, and where their strings stand in a text.

use std::collections::BTreeMap;
use std::ops::Range;

use tokenizers::AddedToken;

/// A special token by its id.
#[derive(Debug, Clone)]
pub(crate) struct Special {
    /// Its id.
    pub id: u32,
    /// Its string, and whether it swallows the white space around it.
    pub token: AddedToken,
}

/// All special tokens, by id.
#[derive(Debug, Clone, Default)]
pub(crate) struct Specials(BTreeMap<u32, AddedToken>);

impl Specials {
    /// The special ones among a tokenizer's added tokens.
    pub(crate) fn of(tokenizer: &tokenizers::Tokenizer) -> Self {
        let added = tokenizer.get_added_tokens_decoder().into_iter();
        Self(added.filter(|(_, token)| token.special).collect())
    }

    pub(crate) fn contains(&self, id: u32) -> bool {
        self.0.contains_key(&id)
    }

    /// Their strings, by id.
    pub(crate) fn strings(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|token| token.content.as_str())
    }

    /// Every place, overlapping ones included, where one of the strings stands in `text`, with its
    /// token; by start, the longer first.
    pub(crate) fn occurrences(&self, text: &str) -> Vec<(Range<usize>, Special)> {
        let mut found = Vec::new();
        for (&id, token) in &self.0 {
            for range in overlapping_matches(text, &token.content) {
                let token = token.clone();
                found.push((range, Special { id, token }));
            }
        }
        found.sort_by_key(|(range, special)| (range.start, std::cmp::Reverse(range.end), special.id));
        found
    }
}

/// All places of `needle`, also where they overlap.
pub(crate) fn overlapping_matches(text: &str, needle: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    let Some(first) = needle.chars().next() else {
        return found;
    };
    while let Some(at) = text[from..].find(needle) {
        let start = from + at;
        found.push(start..start + needle.len());
        from = start + first.len_utf8();
    }
    found
}
