//! Text from ids that come one at a time.

use crate::tokenizer::Tokenizer;

/// What a decoder writes where bytes are no text (yet).
const REPLACEMENT: char = '\u{FFFD}';
/// A character has at most four bytes: after so many tokens a broken end stays broken.
const LONGEST_CHARACTER: usize = 4;
/// After so many tokens without text nothing is kept back any more.
const LONGEST_WAIT: usize = 64;

/// Turns ids into text as they come, whole characters at a time. The pieces, joined, are what
/// [`Tokenizer::decode`] gives for all ids.
///
/// The text of a token can depend on those before it (spaces, bytes of a character), so each step
/// decodes the few tokens since the last piece together with those of that piece, and gives what is
/// new.
pub struct StreamDecoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The tokens of the last piece, then those still waiting.
    ids: Vec<u32>,
    /// How many of `ids` are in pieces already given.
    given: usize,
    /// Bytes of the text of `ids` already given.
    length: usize,
}

impl<'a> StreamDecoder<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), given: 0, length: 0 }
    }

    /// Takes the next id and gives the text that is complete by now, if any. Special tokens and ids
    /// outside of the vocabulary give none.
    pub fn push(&mut self, id: u32) -> Option<String> {
        if id as usize >= self.tokenizer.vocab_size() || self.tokenizer.is_special(id) {
            return None;
        }
        self.ids.push(id);
        let text = self.text();
        let complete = self.complete(&text);
        self.give(&text, complete)
    }

    /// Gives what is still waiting; the end of a character that never came is shown as U+FFFD.
    pub fn finish(mut self) -> Option<String> {
        let text = self.text();
        self.give(&text, text.len())
    }

    fn text(&self) -> String {
        self.tokenizer.decode(&self.ids).unwrap_or_default()
    }

    /// How many bytes of `text` no further token can change: not a broken end that may still become
    /// a character.
    fn complete(&self, text: &str) -> usize {
        match self.ids.len() - self.given {
            waited if waited < LONGEST_CHARACTER => text.trim_end_matches(REPLACEMENT).len(),
            waited if waited < LONGEST_WAIT => text.strip_suffix(REPLACEMENT).unwrap_or(text).len(),
            _ => text.len(),
        }
    }

    fn give(&mut self, text: &str, complete: usize) -> Option<String> {
        let new = text.get(self.length..complete).unwrap_or_default().to_owned();
        self.length = self.length.max(complete);
        if complete == text.len() && !new.is_empty() {
            self.ids.drain(..self.given);
            self.given = self.ids.len();
            self.length = self.text().len();
        }
        (!new.is_empty()).then_some(new)
    }
}
