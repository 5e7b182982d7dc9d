//! The text as windows: a word in the middle and those around it.

use super::sentences::Sentences;
use crate::random::{Draws, Purpose, below};

/// Words that a stretch has at least, and windows that step together at most.
pub(crate) const BATCH: usize = 512;

/// A stretch of thinned-out text.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// The words that were kept.
    words: Vec<u32>,
    /// For each its place in the whole run, by which its draws are made.
    indices: Vec<u64>,
    /// For each where its sentence begins and ends in `words`.
    bounds: Vec<(u32, u32)>,
    /// Words of the text up to the end of this stretch, those passed over included.
    pub(crate) read: u64,
}

/// One window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// The word in the middle.
    pub(crate) center: u32,
    /// The words before and after it.
    pub(crate) around: (&'a [u32], &'a [u32]),
}

impl Window<'_> {
    /// The words around.
    pub(crate) fn context(&self) -> impl Iterator<Item = u32> + '_ {
        self.around.0.iter().chain(self.around.1).copied()
    }
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// The window around the `n`-th word, its radius drawn from 1 to `widest`, and the draws that follow.
    #[inline]
    pub(crate) fn window(&self, n: usize, widest: usize, seed: u64) -> (Window<'_>, Draws) {
        let mut draws = Draws::new(seed, Purpose::Window, self.indices[n]);
        let radius = 1 + below(draws.next(), widest as u32) as usize;
        let (start, end) = self.bounds[n];
        let first = n.saturating_sub(radius).max(start as usize);
        let last = (n + 1 + radius).min(end as usize);
        let around = (&self.words[first..n], &self.words[n + 1..last]);
        (Window { center: self.words[n], around }, draws)
    }

    fn close_sentence(&mut self) {
        let (start, end) = (self.bounds.len() as u32, self.words.len() as u32);
        self.bounds.resize(self.words.len(), (start, end));
    }
}

/// Cuts the text into batches of whole sentences with at least [`BATCH`] words, thinning it out on the way.
pub(crate) struct Batches<'a> {
    sentences: Box<dyn Iterator<Item = &'a [u32]> + 'a>,
    keep: &'a [f32],
    seed: u64,
    read: u64,
}

impl<'a> Batches<'a> {
    /// Over `sentences`, of which `skipped` words were taken already, as whole sentences; `read` words of the run came before.
    pub(crate) fn new(sentences: &'a Sentences, keep: &'a [f32], seed: u64, (read, skipped): (u64, u64)) -> Self {
        let mut passed = 0;
        let rest = sentences.iter().skip_while(move |sentence| {
            let skip = passed < skipped;
            passed += if skip { sentence.len() as u64 } else { 0 };
            skip
        });
        Self { sentences: Box::new(rest), keep, seed, read }
    }

    /// Fills `batch` with the next stretch; `false` at the end.
    pub(crate) fn next(&mut self, batch: &mut Batch) -> bool {
        batch.words.clear();
        batch.indices.clear();
        batch.bounds.clear();
        while batch.len() < BATCH {
            let Some(sentence) = self.sentences.next() else { break };
            for (index, &word) in (self.read..).zip(sentence) {
                let keep = self.keep[word as usize];
                if keep >= 1.0 || Draws::new(self.seed, Purpose::Subsampling, index).uniform() < f64::from(keep) {
                    batch.words.push(word);
                    batch.indices.push(index);
                }
            }
            self.read += sentence.len() as u64;
            batch.close_sentence();
        }
        batch.read = self.read;
        batch.len() > 0
    }
}
