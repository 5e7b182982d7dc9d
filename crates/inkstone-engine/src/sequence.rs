//! One request on its way through the engine.

use std::time::Instant;

use inkstone_kernels::BLOCK_POSITIONS;

use crate::blocks::{BlockId, Pool};
use crate::prefix::{Edge, NodeId, PrefixTree, ROOT};
use crate::request::{Event, Finished, Reason, Request, Scored};
use crate::scoring::scored;

/// A request with its tokens so far and the blocks that it holds.
pub(crate) struct Sequence {
    /// Order of arrival.
    pub(crate) number: u64,
    pub(crate) request: Request,
    /// Prompt and answer.
    pub(crate) tokens: Vec<u32>,
    /// Tokens whose keys and values are in the blocks.
    pub(crate) computed: usize,
    pub(crate) blocks: Vec<BlockId>,
    /// Guesses that the current pass checks.
    pub(crate) drafted: Vec<u32>,
    /// Where in the tree its full blocks end, and how many they are.
    node: NodeId,
    registered: usize,
    cached: usize,
    prompt_scores: Vec<Scored>,
    pub(crate) ended: Option<Reason>,
    /// Tokens that were read for the answer.
    pub(crate) read: usize,
}

impl Sequence {
    pub(crate) fn new(number: u64, request: Request) -> Self {
        let read = request.prompt.len();
        Self {
            number,
            tokens: request.prompt.clone(),
            request,
            computed: 0,
            blocks: Vec::new(),
            drafted: Vec::new(),
            node: ROOT,
            registered: 0,
            cached: 0,
            prompt_scores: Vec::new(),
            ended: None,
            read,
        }
    }

    /// Higher ones go first, then those that came first.
    pub(crate) fn rank(&self) -> (std::cmp::Reverse<i32>, u64) {
        (std::cmp::Reverse(self.request.priority), self.number)
    }

    fn prompt(&self) -> usize {
        self.request.prompt.len()
    }

    /// Tokens of the answer.
    pub(crate) fn answered(&self) -> usize {
        self.tokens.len() - self.prompt()
    }

    /// Tokens of the prompt that were found in the tree.
    pub(crate) fn cached(&self) -> usize {
        self.cached
    }

    /// Tokens that a pass is to take next.
    pub(crate) fn pending(&self) -> usize {
        self.tokens.len() - self.computed
    }

    /// Whether log-probabilities of the prompt are still to come.
    pub(crate) fn scores_prompt(&self) -> bool {
        self.request.prompt_logprobs.is_some() && self.prompt_scores.len() < self.prompt()
    }

    /// The tokens of the next block, where all of them are known and one is left to compute the next token from.
    pub(crate) fn next_edge(&self) -> Option<(NodeId, Edge)> {
        if self.computed != self.registered * BLOCK_POSITIONS || self.request.prompt_logprobs.is_some() {
            return None;
        }
        let end = self.computed + BLOCK_POSITIONS;
        let edge = self.tokens.get(self.computed..end).filter(|_| end < self.tokens.len())?;
        Some((self.node, edge.try_into().expect("invariant: the slice has a block's length")))
    }

    /// Takes the blocks of the tree that go on from what is computed.
    pub(crate) fn share(&mut self, tree: &mut PrefixTree, pool: &mut Pool) {
        while let Some((node, edge)) = self.next_edge() {
            let Some((node, block)) = tree.step(node, edge) else { return };
            pool.hold(block);
            // Blocks that were taken ahead give way.
            for own in self.blocks.drain(self.registered..) {
                pool.release(own);
            }
            self.blocks.push(block);
            self.node = node;
            self.registered += 1;
            self.computed += BLOCK_POSITIONS;
            if self.answered() == 0 {
                self.cached = self.computed;
            }
        }
    }

    /// Gives the tree the blocks that are full.
    pub(crate) fn register(&mut self, tree: &mut PrefixTree, pool: &mut Pool) {
        while (self.registered + 1) * BLOCK_POSITIONS <= self.computed {
            let begin = self.registered * BLOCK_POSITIONS;
            let edge = &self.tokens[begin..begin + BLOCK_POSITIONS];
            let edge: Edge = edge.try_into().expect("invariant: the slice has a block's length");
            let own = self.blocks[self.registered];
            self.node = match tree.step(self.node, edge) {
                Some((node, block)) => {
                    pool.hold(block);
                    pool.release(own);
                    self.blocks[self.registered] = block;
                    node
                }
                None => tree.insert(self.node, edge, own, pool),
            };
            self.registered += 1;
        }
    }

    /// Gives its blocks back; what was computed has to be computed again, or found in the tree.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        self.blocks.drain(..).for_each(|block| pool.release(block));
        (self.computed, self.registered, self.node) = (0, 0, ROOT);
        if self.scores_prompt() {
            self.prompt_scores.clear();
        }
    }

    /// Scores of the prompt's tokens after the first `from`, of which `logits` holds the rows.
    pub(crate) fn take_prompt_scores(&mut self, rows: &[f32], vocabulary: usize) {
        let top = self.request.prompt_logprobs.unwrap_or(0);
        if self.prompt_scores.is_empty() {
            self.prompt_scores.push(Scored { id: self.tokens[0], logprob: None, top: Vec::new() });
        }
        for row in rows.chunks_exact(vocabulary) {
            let Some(&id) = self.request.prompt.get(self.prompt_scores.len()) else { break };
            self.prompt_scores.push(scored(row, id, top));
        }
        if self.prompt_scores.len() == self.prompt() {
            self.tell(Event::Prompt(self.prompt_scores.clone()));
        }
    }

    /// Draws tokens from the rows of logits: one more than guesses came true.
    pub(crate) fn take(&mut self, rows: &mut [f32], vocabulary: usize, context: usize) {
        let drafted = std::mem::take(&mut self.drafted);
        for (n, row) in rows.chunks_exact_mut(vocabulary).enumerate() {
            let Some(id) = self.draw(row) else { break };
            self.ended = self.ended.take().or_else(|| self.end_at(context));
            if self.ended.is_some() || drafted.get(n) != Some(&id) {
                break;
            }
        }
        self.computed = self.tokens.len() - 1;
    }

    fn draw(&mut self, row: &mut [f32]) -> Option<u32> {
        let raw = self.request.logprobs.map(|top| (row.to_vec(), top));
        if let Some(Err(error)) = self.request.constraint.as_mut().map(|constraint| constraint.mask(row)) {
            self.ended = Some(Reason::Failed(error));
            return None;
        }
        let prompt = self.prompt();
        let id = self.request.sampling.next(row, &self.tokens, prompt);
        self.tokens.push(id);
        if self.request.sampling.stop_ids.contains(&id) {
            self.ended = Some(Reason::Stop);
            return Some(id);
        }
        match self.request.constraint.as_mut().map_or(Ok(false), |constraint| constraint.accept(id)) {
            Ok(false) => {}
            Ok(true) => self.ended = Some(Reason::Stop),
            Err(error) => self.ended = Some(Reason::Failed(error)),
        }
        let scored = match raw {
            Some((row, top)) => scored(&row, id, top),
            None => Scored { id, logprob: None, top: Vec::new() },
        };
        self.tell(Event::Token(scored));
        Some(id)
    }

    fn end_at(&self, context: usize) -> Option<Reason> {
        let full = self.answered() >= self.request.sampling.max_new_tokens || self.tokens.len() >= context;
        full.then_some(Reason::Length)
    }

    fn tell(&mut self, event: Event) {
        if (self.request.sink)(event).is_break() {
            self.ended = Some(Reason::Cancelled);
        }
    }

    /// Why it is over, if it is.
    pub(crate) fn over(&self, now: Instant) -> Option<Reason> {
        let late = self.request.deadline.is_some_and(|deadline| deadline <= now);
        let cancelled = self.request.cancel.is_cancelled().then_some(Reason::Cancelled);
        self.ended.clone().or(cancelled).or(late.then_some(Reason::Deadline))
    }

    /// Says how it ended.
    pub(crate) fn finish(&mut self, reason: Reason) {
        let finished = Finished {
            reason,
            prompt_tokens: self.read,
            cached_tokens: self.cached,
            completion_tokens: self.answered(),
        };
        let _ = (self.request.sink)(Event::Finished(finished));
    }
}
