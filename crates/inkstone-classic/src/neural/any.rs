//! A network from its folder, whichever it is.

use std::path::Path;

use super::language_model::{LanguageModel, Layout};
use crate::{Result, feed_forward, recurrent};

/// One of the networks of this crate.
#[derive(Debug, Clone)]
pub enum AnyModel {
    /// Bengio's.
    FeedForward(feed_forward::Network),
    /// Elman's, LSTM or GRU.
    Recurrent(recurrent::Network),
}

/// What it keeps of one text.
#[derive(Debug, Clone)]
pub enum AnyState {
    /// Of [`AnyModel::FeedForward`].
    FeedForward(feed_forward::State),
    /// Of [`AnyModel::Recurrent`].
    Recurrent(recurrent::State),
}

impl AnyModel {
    /// Whether there is one in a folder.
    pub fn is_in(folder: &Path) -> bool {
        feed_forward::Network::is_in(folder) || recurrent::Network::is_in(folder)
    }

    /// Reads it from its folder.
    pub fn load(folder: &Path) -> Result<Self> {
        if feed_forward::Network::is_in(folder) {
            feed_forward::Network::load(folder).map(Self::FeedForward)
        } else {
            recurrent::Network::load(folder).map(Self::Recurrent)
        }
    }

    /// Token ids.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::FeedForward(network) => network.shape.vocab_size(),
            Self::Recurrent(network) => network.shape.vocab_size(),
        }
    }

    /// The state before a text begins.
    pub fn begin(&self) -> AnyState {
        match self {
            Self::FeedForward(network) => AnyState::FeedForward(network.begin(1)),
            Self::Recurrent(network) => AnyState::Recurrent(network.begin(1)),
        }
    }

    /// The logits after the last of `ids`; moves `state` on, which must be this network's.
    ///
    /// # Panics
    /// If it is not.
    pub fn last_logits(&self, ids: &[u32], state: &mut AnyState) -> Vec<f32> {
        let mut logits = match (self, state) {
            (Self::FeedForward(network), AnyState::FeedForward(state)) => network.logits(ids, state),
            (Self::Recurrent(network), AnyState::Recurrent(state)) => network.logits(ids, state),
            _ => unreachable!("invariant: a state goes back to the network that it came from"),
        };
        logits.split_off(logits.len().saturating_sub(self.vocab_size()))
    }

    /// As [`LanguageModel::stream_losses`].
    pub fn stream_losses(
        &self,
        text: &[u32],
        dynamic: Option<f64>,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<f32>> {
        match self {
            Self::FeedForward(network) => network.stream_losses(text, dynamic, progress),
            Self::Recurrent(network) => network.stream_losses(text, dynamic, progress),
        }
    }
}
