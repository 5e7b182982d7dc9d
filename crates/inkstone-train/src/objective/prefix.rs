//! Prefix language modelling: a text is cut anywhere, and what stands behind the cut is to be said (T5, arXiv:1910.10683,
//! section 3.2.3).

use inkstone_corpus::draw::Draw;

use super::pairs::{Corrupt, Pair};

/// Cuts a text in two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prefix;

impl Corrupt for Prefix {
    fn pair(&self, text: &[u32], draw: &mut Draw) -> Pair {
        let cut = 1 + draw.below(text.len().saturating_sub(1));
        let (source, target) = text.split_at(cut.min(text.len()));
        Pair { source: source.to_vec(), target: target.to_vec() }
    }

    fn extra(&self, _tokens: usize) -> usize {
        0
    }
}
