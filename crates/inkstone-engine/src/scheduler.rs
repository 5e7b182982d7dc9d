//! Which tokens go through the model next: continuous batching (Orca, OSDI 2022) with chunked prefill (arXiv:2403.02310).
//!
//! Every pass takes one token (and its guesses) of each sequence that is being answered, then as many tokens of prompts as its
//! budget allows. Where blocks run out, texts that nobody uses are forgotten first; then the last and least important sequence
//! gives its blocks back and starts again later. As the bits of a token do not depend on its pass, nobody can tell.

use std::collections::HashSet;
use std::time::Instant;

use inkstone_kernels::BLOCK_POSITIONS;
use inkstone_models::{Kind, Model};

use crate::EngineError;
use crate::batch::Batch;
use crate::blocks::{CachePrecision, Geometry, Pool};
use crate::prefix::{Edge, NodeId, PrefixTree};
use crate::request::{Reason, Request};
use crate::sequence::Sequence;

/// Rows of a pass up to which guesses cost next to nothing, because reading the weights takes longer than computing.
const DRAFT_ROWS: usize = 12;

/// What the engine may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of keys and values.
    pub cache_bytes: usize,
    /// Their precision.
    pub cache_precision: CachePrecision,
    /// Sequences at a time.
    pub running: usize,
    /// Sequences that may wait.
    pub waiting: usize,
    /// Tokens of a pass, beyond one for each sequence that is being answered.
    pub pass_tokens: usize,
    /// Tokens that are guessed ahead for a sequence, where it has somebody to guess.
    pub draft_tokens: usize,
}

/// What the engine has done and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Load {
    /// Sequences that are being computed.
    pub running: usize,
    /// Sequences that wait.
    pub waiting: usize,
    /// Blocks that sequences hold.
    pub blocks_held: usize,
    /// Blocks that hold texts for whoever comes next.
    pub blocks_idle: usize,
    /// All blocks.
    pub blocks: usize,
    /// Passes so far.
    pub passes: u64,
    /// Tokens of prompts that were computed.
    pub prompt_tokens: u64,
    /// Tokens of prompts that were found.
    pub cached_tokens: u64,
    /// Tokens that were drawn.
    pub new_tokens: u64,
    /// Tokens that were guessed, and those of them that came true.
    pub drafted_tokens: (u64, u64),
    /// Sequences that had to give their blocks back.
    pub preempted: u64,
    /// Seconds in passes.
    pub seconds: f64,
}

/// The engine without a thread: whoever has it calls [`step`](Self::step).
pub struct Scheduler<'a> {
    model: &'a Model,
    limits: Limits,
    pool: Pool,
    tree: PrefixTree,
    running: Vec<Sequence>,
    waiting: Vec<Sequence>,
    arrived: u64,
    done: Load,
}

/// A sequence's share of a pass.
struct Share {
    /// Its place among the running.
    index: usize,
    /// Tokens of it, guesses apart.
    tokens: usize,
    /// Rows of logits.
    rows: std::ops::Range<usize>,
}

impl std::fmt::Debug for Scheduler<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("load", &self.load()).finish_non_exhaustive()
    }
}

impl<'a> Scheduler<'a> {
    /// An engine over a decoder.
    ///
    /// # Errors
    /// If the model is no decoder.
    pub fn new(model: &'a Model, limits: Limits) -> Result<Self, EngineError> {
        if model.virtual_tokens() > 0 {
            return Err(EngineError::VirtualTokens { count: model.virtual_tokens() });
        }
        if model.kind() != Kind::Decoder {
            return Err(EngineError::NoDecoder);
        }
        if !inkstone_models::is_side_by_side(model.config_json()) {
            return Err(EngineError::OneByOne);
        }
        let size = model.dimensions();
        let geometry = Geometry {
            layers: size.layers,
            kv_heads: size.key_heads,
            head_dim: size.head_width,
            precision: limits.cache_precision,
        };
        let capacity = (limits.cache_bytes / geometry.bytes().max(1)).max(2);
        let (running, waiting) = (Vec::new(), Vec::new());
        let (pool, tree) = (Pool::new(geometry, capacity), PrefixTree::new());
        Ok(Self { model, limits, pool, tree, running, waiting, arrived: 0, done: Load::default() })
    }

    /// Takes a request in.
    ///
    /// # Errors
    /// If it makes no sense, could never be held, or too many wait already; its sink hears nothing then.
    pub fn submit(&mut self, request: Request) -> Result<(), EngineError> {
        self.check(&request)?;
        if self.waiting.len() >= self.limits.waiting {
            return Err(EngineError::Busy { waiting: self.waiting.len() });
        }
        self.arrived += 1;
        self.waiting.push(Sequence::new(self.arrived, request));
        Ok(())
    }

    fn check(&self, request: &Request) -> Result<(), EngineError> {
        let (context, tokens) = (self.model.context(), request.prompt.len());
        request.sampling.validate().map_err(EngineError::Sampling)?;
        if tokens == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        if tokens + usize::from(request.sampling.max_new_tokens > 0) > context {
            return Err(EngineError::PromptTooLong { tokens, context });
        }
        let vocab_size = self.model.vocab_size();
        if let Some(&id) = request.prompt.iter().find(|&&id| id as usize >= vocab_size) {
            return Err(EngineError::UnknownToken { id, vocab_size });
        }
        let (tokens, room) = (
            tokens.saturating_add(request.sampling.max_new_tokens).min(context),
            self.pool.capacity() * BLOCK_POSITIONS,
        );
        if tokens > room {
            return Err(EngineError::NoRoom { tokens, room });
        }
        Ok(())
    }

    /// What it has done and holds.
    pub fn load(&self) -> Load {
        let idle = self.tree.idle(&self.pool);
        Load {
            running: self.running.len(),
            waiting: self.waiting.len(),
            blocks_held: self.pool.capacity() - self.pool.free() - idle,
            blocks_idle: idle,
            blocks: self.pool.capacity(),
            ..self.done
        }
    }

    /// Whether there is nothing to do.
    pub fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// One pass through the model.
    pub fn step(&mut self) {
        self.drop_ended();
        self.admit();
        let started = Instant::now();
        let (batch, shares) = self.plan();
        if batch.len() == 0 {
            return;
        }
        let mut logits = batch.run(self.model, &mut self.pool);
        for share in shares {
            self.settle(&share, &mut logits);
        }
        self.done.passes += 1;
        self.done.seconds += started.elapsed().as_secs_f64();
        self.drop_ended();
    }

    /// Ends whatever is over; its blocks are free from here on.
    fn drop_ended(&mut self) {
        let now = Instant::now();
        for sequences in [&mut self.running, &mut self.waiting] {
            let mut index = 0;
            while index < sequences.len() {
                let Some(reason) = sequences[index].over(now) else {
                    index += 1;
                    continue;
                };
                let mut sequence = sequences.remove(index);
                sequence.release(&mut self.pool);
                sequence.finish(reason);
            }
        }
    }

    /// Lets sequences in while there are places, and blocks for their tokens.
    fn admit(&mut self) {
        self.waiting.sort_by_key(Sequence::rank);
        while self.running.len() < self.limits.running.max(1) && !self.waiting.is_empty() {
            let needed = self.waiting[0].tokens.len() / BLOCK_POSITIONS + 1;
            let pledged: usize = self
                .running
                .iter()
                .map(|s| (s.tokens.len() / BLOCK_POSITIONS + 1).saturating_sub(s.blocks.len()))
                .sum();
            let there = self.pool.free() + self.tree.idle(&self.pool);
            if needed + pledged > there && !self.running.is_empty() {
                break;
            }
            self.running.push(self.waiting.remove(0));
        }
    }

    /// The tokens of the next pass.
    fn plan(&mut self) -> (Batch, Vec<Share>) {
        self.running.sort_by_key(|sequence| (sequence.pending() > 1, sequence.rank()));
        let (mut batch, mut shares, mut begun) = (Batch::default(), Vec::new(), HashSet::new());
        let (mut left, mut index) = (self.limits.pass_tokens.max(1), 0);
        while index < self.running.len() {
            match self.share_of(index, left, &mut begun) {
                Ok(0) => {}
                Ok(tokens) => {
                    left = left.saturating_sub(if tokens > 1 { tokens } else { 0 });
                    shares.push(self.add(index, tokens, &mut batch));
                }
                Err(NoBlock) => {
                    // The last and least important one gives way; shares point at earlier places.
                    let last = self.running.len() - 1;
                    self.preempt(last);
                    continue;
                }
            }
            index += 1;
        }
        (batch, shares)
    }

    /// How many tokens of a sequence go into the pass; its blocks are there then.
    fn share_of(&mut self, index: usize, left: usize, begun: &mut HashSet<(NodeId, Edge)>) -> Result<usize, NoBlock> {
        let sequence = &mut self.running[index];
        sequence.share(&mut self.tree, &mut self.pool);
        // What another sequence is computing in this very pass is taken from it in the next one.
        if sequence.pending() > 1 && sequence.next_edge().is_some_and(|edge| !begun.insert(edge)) {
            return Ok(0);
        }
        let tokens = if sequence.pending() == 1 { 1 } else { sequence.pending().min(left) };
        if tokens == 0 {
            return Ok(0);
        }
        self.draft(index);
        let needed = (self.running[index].computed + tokens).div_ceil(BLOCK_POSITIONS);
        self.reserve(index, needed)?;
        let with_drafts =
            (self.running[index].tokens.len() + self.running[index].drafted.len()).div_ceil(BLOCK_POSITIONS);
        if !self.running[index].drafted.is_empty() && self.reserve(index, with_drafts).is_err() {
            self.running[index].drafted.clear();
        }
        Ok(tokens)
    }

    /// Asks for guesses, where a sequence is being answered.
    fn draft(&mut self, index: usize) {
        let running = self.running.len();
        let (sequence, context) = (&mut self.running[index], self.model.context());
        let answer_left = sequence.request.sampling.max_new_tokens.saturating_sub(sequence.answered() + 1);
        let most = self.limits.draft_tokens.min(answer_left).min(context.saturating_sub(sequence.tokens.len() + 1));
        let most = most.min(DRAFT_ROWS.saturating_sub(running) / running.max(1));
        if sequence.pending() > 1 || sequence.answered() == 0 || most == 0 {
            return;
        }
        let vocabulary = self.model.vocab_size();
        if let Some(draft) = &mut sequence.request.draft {
            sequence.drafted = draft.propose(&sequence.tokens, most);
            sequence.drafted.truncate(most);
            let known = sequence.drafted.iter().take_while(|&&id| (id as usize) < vocabulary).count();
            sequence.drafted.truncate(known);
        }
    }

    /// Takes blocks until the sequence has `needed`.
    fn reserve(&mut self, index: usize, needed: usize) -> Result<(), NoBlock> {
        while self.running[index].blocks.len() < needed {
            let block = match self.pool.take() {
                Some(block) => block,
                None if self.tree.evict(&mut self.pool) => continue,
                None => return Err(NoBlock),
            };
            self.running[index].blocks.push(block);
        }
        Ok(())
    }

    fn preempt(&mut self, index: usize) {
        let mut sequence = self.running.remove(index);
        sequence.release(&mut self.pool);
        sequence.drafted.clear();
        self.done.preempted += 1;
        self.waiting.push(sequence);
    }

    fn add(&self, index: usize, tokens: usize, batch: &mut Batch) -> Share {
        let sequence = &self.running[index];
        let (first, end) = (sequence.computed, sequence.computed + tokens);
        let mut ids = sequence.tokens[first..end].to_vec();
        ids.extend(&sequence.drafted);
        let logits = match end == sequence.tokens.len() {
            _ if sequence.scores_prompt() => tokens,
            true => 1 + sequence.drafted.len(),
            false => 0,
        };
        let rows = batch.push((&ids, first), &sequence.blocks, logits);
        Share { index, tokens, rows }
    }

    /// What comes of a sequence's share of a pass.
    fn settle(&mut self, share: &Share, logits: &mut [f32]) {
        let (vocabulary, context) = (self.model.vocab_size(), self.model.context());
        let sequence = &mut self.running[share.index];
        let mut rows = &mut logits[share.rows.start * vocabulary..share.rows.end * vocabulary];
        let (before, drafted) = (sequence.answered(), sequence.drafted.len());
        sequence.computed += share.tokens;
        if sequence.scores_prompt() {
            sequence.take_prompt_scores(rows, vocabulary);
            let all_but_last = rows.len() - vocabulary;
            rows = &mut rows[all_but_last..];
        }
        if before == 0 {
            self.done.prompt_tokens += share.tokens as u64;
        }
        if sequence.pending() == 0 {
            if sequence.request.sampling.max_new_tokens == 0 {
                sequence.ended = sequence.ended.take().or(Some(Reason::Length));
            } else {
                sequence.take(rows, vocabulary, context);
            }
        }
        let new = sequence.answered() - before;
        self.done.new_tokens += new as u64;
        self.done.drafted_tokens.0 += drafted as u64;
        self.done.drafted_tokens.1 += new.saturating_sub(1) as u64;
        if before == 0 && new > 0 {
            self.done.cached_tokens += sequence.cached() as u64;
        }
        sequence.register(&mut self.tree, &mut self.pool);
    }
}

/// No block is free, and none can be freed without taking it from a sequence.
struct NoBlock;
