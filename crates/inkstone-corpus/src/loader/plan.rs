//! Which tokens stand in which window of an epoch.

use std::ops::Range;

use super::shuffle::{Permutation, mix};
use super::{LoaderConfig, Packing};
use crate::shards::TokenShard;

/// Every how many documents of an epoch's order it is noted where they begin.
const STRIDE: u64 = 64;

/// A run of tokens of one document, in a row from `at` on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) at: usize,
    /// Tokens of the shard.
    pub(super) tokens: Range<u64>,
    /// Where the document ends in the shard, maybe behind the run.
    pub(super) document_end: u64,
    /// The token that follows the document in the epoch's order, where documents are joined.
    pub(super) next: Option<u64>,
}

/// The order of one epoch.
pub(super) struct Plan {
    pub(super) epoch: u64,
    documents: Permutation,
    kind: Kind,
}

enum Kind {
    Stream {
        /// Where every [`STRIDE`]th document begins in the stream.
        starts: Vec<u64>,
        windows: Permutation,
    },
    Whole {
        /// The first document of each window, and the count of all.
        first: Vec<u64>,
    },
}

impl Plan {
    pub(super) fn new(shard: &TokenShard, config: &LoaderConfig, epoch: u64) -> Self {
        let key = |purpose: u64| mix(mix(mix(config.seed) ^ epoch) ^ purpose);
        let permutation = |n: u64, purpose| {
            if config.shuffle { Permutation::shuffled(n, key(purpose)) } else { Permutation::identity(n) }
        };
        let documents = permutation(shard.n_documents() as u64, 1);
        let kind = match config.packing {
            Packing::Stream => Kind::Stream {
                starts: stream_starts(shard, documents),
                windows: permutation(shard.n_tokens().div_ceil(config.context as u64), 2),
            },
            Packing::Whole => Kind::Whole { first: next_fit(shard, documents, config.context as u64) },
        };
        Self { epoch, documents, kind }
    }

    pub(super) fn n_windows(shard: &TokenShard, config: &LoaderConfig, epoch: u64) -> u64 {
        match config.packing {
            Packing::Stream => shard.n_tokens().div_ceil(config.context as u64),
            Packing::Whole => Self::new(shard, config, epoch).whole_windows(),
        }
    }

    fn whole_windows(&self) -> u64 {
        match &self.kind {
            Kind::Whole { first } => first.len() as u64 - 1,
            Kind::Stream { .. } => 0,
        }
    }

    /// The runs of a window, from left to right.
    pub(super) fn window(&self, shard: &TokenShard, context: usize, window: u64) -> Vec<Run> {
        match &self.kind {
            Kind::Stream { starts, windows } => {
                let begin = windows.get(window) * context as u64;
                let end = (begin + context as u64).min(shard.n_tokens());
                self.stream_runs(shard, starts, begin..end)
            }
            Kind::Whole { first } => {
                self.whole_runs(shard, first[window as usize]..first[window as usize + 1], context as u64)
            }
        }
    }

    fn range(&self, shard: &TokenShard, position: u64) -> Range<u64> {
        shard.range(self.documents.get(position) as usize)
    }

    fn stream_runs(&self, shard: &TokenShard, starts: &[u64], window: Range<u64>) -> Vec<Run> {
        let block = starts.partition_point(|&start| start <= window.start) - 1;
        let (mut position, mut at) = (block as u64 * STRIDE, starts[block]);
        let mut runs = Vec::new();
        while at < window.end {
            let range = self.range(shard, position);
            let (begin, end) = (at.max(window.start), (at + length(&range)).min(window.end));
            if begin < end {
                let first = range.start + (begin - at);
                let next = (end == at + length(&range)).then(|| self.first_token_after(shard, position)).flatten();
                runs.push(Run {
                    at: (begin - window.start) as usize,
                    tokens: first..first + (end - begin),
                    document_end: range.end,
                    next,
                });
            }
            at += length(&range);
            position += 1;
        }
        runs
    }

    /// The first token of the next document that has one.
    fn first_token_after(&self, shard: &TokenShard, position: u64) -> Option<u64> {
        let rest = position + 1..shard.n_documents() as u64;
        rest.map(|next| self.range(shard, next)).find(|range| !range.is_empty()).map(|range| range.start)
    }

    fn whole_runs(&self, shard: &TokenShard, positions: Range<u64>, context: u64) -> Vec<Run> {
        let (mut runs, mut at) = (Vec::new(), 0);
        for position in positions {
            let range = self.range(shard, position);
            let taken = length(&range).min(context);
            if taken > 0 {
                let tokens = range.start..range.start + taken;
                runs.push(Run { at: at as usize, tokens, document_end: range.end, next: None });
                at += taken;
            }
        }
        runs
    }
}

fn length(range: &Range<u64>) -> u64 {
    range.end - range.start
}

fn stream_starts(shard: &TokenShard, documents: Permutation) -> Vec<u64> {
    let (mut starts, mut at) = (Vec::new(), 0);
    for position in 0..shard.n_documents() as u64 {
        if position % STRIDE == 0 {
            starts.push(at);
        }
        at += length(&shard.range(documents.get(position) as usize));
    }
    starts
}

/// Puts documents into a window as long as the next one fits.
fn next_fit(shard: &TokenShard, documents: Permutation, context: u64) -> Vec<u64> {
    let (mut first, mut used) = (vec![0], 0);
    let count = shard.n_documents() as u64;
    for position in 0..count {
        let taken = length(&shard.range(documents.get(position) as usize)).min(context);
        if used + taken > context {
            first.push(position);
            used = 0;
        }
        used += taken;
    }
    first.push(count);
    first
}
