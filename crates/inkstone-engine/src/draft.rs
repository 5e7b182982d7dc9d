//! Guessing tokens ahead.

use std::sync::Arc;

use inkstone_models::{Cache, Model};

use crate::request::Draft;

/// Guesses that a text goes on as it did after the last few tokens before (prompt look-up).
#[derive(Debug, Clone, Copy, Default)]
pub struct PromptLookup;

/// Tokens that must occur again, the longer first.
const MATCHES: [usize; 2] = [3, 2];
/// How far back is searched.
const REACH: usize = 4096;

impl Draft for PromptLookup {
    fn propose(&mut self, tokens: &[u32], most: usize) -> Vec<u32> {
        let tokens = &tokens[tokens.len().saturating_sub(REACH)..];
        let after = |length: usize| {
            let end = tokens.len().checked_sub(length)?;
            let last = &tokens[end..];
            let begin = (0..end).rev().find(|&begin| &tokens[begin..begin + length] == last)?;
            Some(&tokens[begin + length..])
        };
        let found = MATCHES.into_iter().find_map(after).unwrap_or_default();
        found[..found.len().min(most)].to_vec()
    }
}

/// Guesses what a smaller model of the same vocabulary would say.
#[derive(Debug)]
pub struct SmallModel {
    model: Arc<Model>,
    cache: Cache,
    /// The tokens that the cache holds.
    read: Vec<u32>,
}

impl SmallModel {
    /// With nothing read yet.
    pub fn new(model: Arc<Model>) -> Self {
        Self { cache: model.cache(0), model, read: Vec::new() }
    }

    /// The most likely token after `tokens`.
    fn next(&mut self, tokens: &[u32]) -> Option<u32> {
        let same = self.read.iter().zip(tokens).take_while(|(a, b)| a == b).count().min(tokens.len() - 1);
        self.cache.truncate(same);
        self.read.truncate(same);
        self.read.extend(&tokens[same..]);
        let logits = self.model.last_logits(&tokens[same..], &mut self.cache);
        let best = logits.iter().enumerate().max_by(|(a, x), (b, y)| x.total_cmp(y).then(b.cmp(a)));
        best.map(|(id, _)| id as u32)
    }
}

impl Draft for SmallModel {
    fn propose(&mut self, tokens: &[u32], most: usize) -> Vec<u32> {
        let mut text = tokens.to_vec();
        let knows = |id: &u32| (*id as usize) < self.model.vocab_size();
        if tokens.is_empty() || !tokens.iter().all(knows) {
            return Vec::new();
        }
        while text.len() < (tokens.len() + most).min(self.model.context()) {
            let Some(next) = self.next(&text) else { break };
            text.push(next);
        }
        text.split_off(tokens.len().min(text.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::{Draft, PromptLookup};

    #[test]
    fn what_followed_last_time_is_guessed() {
        let mut draft = PromptLookup;
        assert_eq!(draft.propose(&[1, 2, 3, 4, 5, 9, 1, 2, 3], 2), [4, 5]);
        assert_eq!(draft.propose(&[7, 2, 3, 4, 8, 2, 3], 4), [4, 8, 2, 3]);
        assert_eq!(draft.propose(&[1, 2, 3, 4], 4), [0_u32; 0]);
        assert_eq!(draft.propose(&[1], 4), [0_u32; 0]);
    }
}
