//! From a token shard to batches: shuffled, packed, labelled, and the same whoever asks in
//! whatever order.
//!
//! The sequence of epochs is endless. Within an epoch every token of the shard is once an input
//! (in [`Packing::Whole`] all but what a too long conversation has too much), and the last window
//! is filled up with padding.

mod plan;
mod shuffle;

use std::sync::Arc;

use self::plan::{Plan, Run};
use crate::error::CorpusError;
use crate::shards::TokenShard;

/// The label of a position from which nothing is learnt.
pub const IGNORE: i32 = -100;

/// How documents become windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Documents in a shuffled order, one behind the other, cut into windows, which are shuffled
    /// again. For pre-training.
    Stream,
    /// As many documents as fit into a window, in a shuffled order, none of them cut (one that is
    /// longer than a window loses its end). For instruction tuning.
    Whole,
}

/// What a [`Loader`] does.
#[derive(Debug, Clone)]
pub struct LoaderConfig {
    /// Windows of a batch.
    pub batch_size: usize,
    /// Tokens of a window.
    pub context: usize,
    /// How documents become windows.
    pub packing: Packing,
    /// Whether documents in the same window are kept apart: `starts` tells where each begins, and
    /// no label is the token of another document. Where not, in a stream, the last token of a
    /// document has the first of the next one for label.
    pub separate_documents: bool,
    /// Whether to shuffle; otherwise everything is in the order of the shard.
    pub shuffle: bool,
    /// What the shuffle depends on, beside the number of the epoch.
    pub seed: u64,
    /// The id that fills up a window.
    pub pad_id: u32,
}

/// Windows of tokens, row-major `[batch_size, context]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Rows.
    pub batch_size: usize,
    /// Columns.
    pub context: usize,
    /// Token ids.
    pub ids: Vec<u32>,
    /// The id that follows the one at the same place in `ids`, or [`IGNORE`].
    pub labels: Vec<i32>,
    /// The index in its row at which the document of each position begins; 0 everywhere where
    /// documents are joined. Padding counts as a document of its own.
    pub starts: Vec<u32>,
}

/// Makes batches of a shard. Which tokens stand in batch `k` depends on the shard, the
/// [`LoaderConfig`] and `k` only.
pub struct Loader {
    shard: Arc<TokenShard>,
    config: LoaderConfig,
    /// Plans of the last epochs that were asked for; a batch may lie in two.
    plans: Vec<Arc<Plan>>,
    /// Where each epoch ends, in windows from the beginning, as far as was asked.
    ends: Vec<u64>,
}

/// Plans that are kept.
const PLANS: usize = 2;

impl Loader {
    /// A loader over a shard.
    ///
    /// # Errors
    /// If the shard holds no token, or a batch would hold none or too many.
    pub fn new(shard: Arc<TokenShard>, config: LoaderConfig) -> Result<Self, CorpusError> {
        for (field, value) in [("batch_size", config.batch_size), ("context", config.context)] {
            if !(1..=1 << 30).contains(&value) {
                return Err(CorpusError::Config { field, reason: format!("{value} is not between 1 and 2^30") });
            }
        }
        if shard.n_tokens() == 0 {
            return Err(CorpusError::NoTokens { path: shard.path().to_owned() });
        }
        Ok(Self { shard, config, plans: Vec::new(), ends: Vec::new() })
    }

    /// What it does.
    pub fn config(&self) -> &LoaderConfig {
        &self.config
    }

    /// Batch number `index` of the endless sequence of epochs: windows `index * batch_size` and
    /// following.
    pub fn batch(&mut self, index: u64) -> Batch {
        let mut batch = self.empty_batch();
        for row in 0..self.config.batch_size {
            let (epoch, window) = self.locate(index * self.config.batch_size as u64 + row as u64);
            self.fill(&mut batch, row, (epoch, window));
        }
        batch
    }

    /// Batch number `index` of the first epoch alone, for evaluation: rows behind its end are
    /// padding, so that nothing is measured twice.
    pub fn pass_batch(&mut self, index: u64) -> Batch {
        let (mut batch, windows) = (self.empty_batch(), self.windows_per_epoch(0));
        for row in 0..self.config.batch_size {
            let window = index * self.config.batch_size as u64 + row as u64;
            if window < windows {
                self.fill(&mut batch, row, (0, window));
            }
        }
        batch
    }

    /// How many batches hold the first epoch.
    pub fn batches_per_pass(&mut self) -> u64 {
        self.windows_per_epoch(0).div_ceil(self.config.batch_size as u64)
    }

    /// How many windows an epoch has. In a stream that is the same for all.
    pub fn windows_per_epoch(&mut self, epoch: u64) -> u64 {
        match self.config.packing {
            Packing::Stream => Plan::n_windows(&self.shard, &self.config, epoch),
            Packing::Whole => self.end(epoch) - epoch.checked_sub(1).map_or(0, |before| self.end(before)),
        }
    }

    /// The epoch of a window of the endless sequence, and its number there.
    fn locate(&mut self, window: u64) -> (u64, u64) {
        if self.config.packing == Packing::Stream {
            let windows = self.windows_per_epoch(0);
            return (window / windows, window % windows);
        }
        while self.ends.last().is_none_or(|&end| end <= window) {
            self.end(self.ends.len() as u64);
        }
        let epoch = self.ends.partition_point(|&end| end <= window) as u64;
        let begin = epoch.checked_sub(1).map_or(0, |before| self.end(before));
        (epoch, window - begin)
    }

    /// Where an epoch ends, in windows from the beginning.
    fn end(&mut self, epoch: u64) -> u64 {
        while self.ends.len() as u64 <= epoch {
            let windows = Plan::n_windows(&self.shard, &self.config, self.ends.len() as u64);
            self.ends.push(self.ends.last().copied().unwrap_or(0) + windows);
        }
        self.ends[epoch as usize]
    }

    fn plan(&mut self, epoch: u64) -> Arc<Plan> {
        if let Some(plan) = self.plans.iter().find(|plan| plan.epoch == epoch) {
            return Arc::clone(plan);
        }
        self.plans.truncate(PLANS - 1);
        self.plans.insert(0, Arc::new(Plan::new(&self.shard, &self.config, epoch)));
        Arc::clone(&self.plans[0])
    }

    fn empty_batch(&self) -> Batch {
        let LoaderConfig { batch_size, context, pad_id, .. } = self.config;
        let positions = batch_size * context;
        Batch {
            batch_size,
            context,
            ids: vec![pad_id; positions],
            labels: vec![IGNORE; positions],
            starts: vec![0; positions],
        }
    }

    fn fill(&mut self, batch: &mut Batch, row: usize, (epoch, window): (u64, u64)) {
        let context = self.config.context;
        let runs = self.plan(epoch).window(&self.shard, context, window);
        let first = row * context;
        let used = runs.last().map_or(0, |run| run.at + run.length());
        for run in &runs {
            self.fill_run(batch, first, run);
        }
        if self.config.separate_documents {
            batch.starts[first + used..first + context].fill(used as u32);
        }
    }

    fn fill_run(&self, batch: &mut Batch, first: usize, run: &Run) {
        let places = first + run.at..first + run.at + run.length();
        for (place, token) in places.clone().zip(run.tokens.clone()) {
            batch.ids[place] = self.shard.token(token);
            batch.labels[place] = self.label(run, token);
        }
        if self.config.separate_documents {
            batch.starts[places].fill(run.at as u32);
        }
    }

    /// The id behind `token`, where it is to be learnt.
    fn label(&self, run: &Run, token: u64) -> i32 {
        let within = (token + 1 < run.document_end).then_some(token + 1);
        let across = run.next.filter(|_| !self.config.separate_documents);
        let next = within.or(across).filter(|&next| self.shard.is_learnt(next));
        next.map_or(IGNORE, |next| self.shard.token(next) as i32)
    }
}

impl Run {
    fn length(&self) -> usize {
        (self.tokens.end - self.tokens.start) as usize
    }
}
