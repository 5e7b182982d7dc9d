//! Which blocks hold which texts: a tree whose edges are a block's tokens, so that requests that begin alike share blocks
//! (arXiv:2312.07104, section 3).

use std::collections::HashMap;

use inkstone_kernels::BLOCK_POSITIONS;

use crate::blocks::{BlockId, Pool};

/// The tokens of a full block.
pub(crate) type Edge = [u32; BLOCK_POSITIONS];
/// A place in the tree: the text up to there.
pub(crate) type NodeId = usize;
/// The empty text.
pub(crate) const ROOT: NodeId = 0;

#[derive(Debug)]
struct Node {
    parent: NodeId,
    edge: Edge,
    block: BlockId,
    children: usize,
    used: u64,
}

/// The tree; it holds each of its blocks.
#[derive(Debug)]
pub(crate) struct PrefixTree {
    /// Places that were given up are empty; the root has no block.
    nodes: Vec<Option<Node>>,
    vacant: Vec<NodeId>,
    children: HashMap<(NodeId, Edge), NodeId>,
    clock: u64,
}

impl PrefixTree {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![None], vacant: Vec::new(), children: HashMap::new(), clock: 0 }
    }

    /// The text of `node` and then `edge`, if its block is here.
    pub(crate) fn step(&mut self, node: NodeId, edge: Edge) -> Option<(NodeId, BlockId)> {
        let child = *self.children.get(&(node, edge))?;
        self.clock += 1;
        let found = self.nodes[child].as_mut()?;
        found.used = self.clock;
        Some((child, found.block))
    }

    /// Adds a block, which the tree then holds too. Not for a text that is here already.
    pub(crate) fn insert(&mut self, parent: NodeId, edge: Edge, block: BlockId, pool: &mut Pool) -> NodeId {
        pool.hold(block);
        self.clock += 1;
        let node = Some(Node { parent, edge, block, children: 0, used: self.clock });
        let id = self.vacant.pop().unwrap_or(self.nodes.len());
        if id == self.nodes.len() {
            self.nodes.push(node);
        } else {
            self.nodes[id] = node;
        }
        self.children.insert((parent, edge), id);
        if let Some(parent) = &mut self.nodes[parent] {
            parent.children += 1;
        }
        id
    }

    /// Blocks that only the tree holds.
    pub(crate) fn idle(&self, pool: &Pool) -> usize {
        self.nodes.iter().flatten().filter(|node| pool.holders(node.block) == 1).count()
    }

    /// Gives up the block that was not used for the longest time, of those at an end that nobody else holds.
    pub(crate) fn evict(&mut self, pool: &mut Pool) -> bool {
        let idle = |node: &Node| node.children == 0 && pool.holders(node.block) == 1;
        let ends = self.nodes.iter().enumerate().filter_map(|(id, node)| Some((id, node.as_ref()?)));
        let oldest = ends.filter(|(_, node)| idle(node)).min_by_key(|(_, node)| node.used).map(|(id, _)| id);
        let Some((id, node)) = oldest.and_then(|id| Some((id, self.nodes[id].take()?))) else { return false };
        self.children.remove(&(node.parent, node.edge));
        if let Some(parent) = &mut self.nodes[node.parent] {
            parent.children -= 1;
        }
        self.vacant.push(id);
        pool.release(node.block);
        true
    }
}
