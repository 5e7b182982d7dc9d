//! The shape of a recurrent language model, its `config.json`.

use inkstone_kernels::Cell;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::neural::{Layout, check_tensors, check_widths, refused};

/// Which recurrent network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Elman's network with tanh.
    Elman,
    /// Long short-term memory.
    Lstm,
    /// Gated recurrent units.
    Gru,
}

impl Kind {
    pub(crate) fn cell(self) -> Cell {
        match self {
            Self::Elman => Cell::Elman,
            Self::Lstm => Cell::Lstm,
            Self::Gru => Cell::Gru,
        }
    }
}

/// Sizes of a network: embedding, recurrent layers, a linear head over the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// The network.
    pub cell: Kind,
    /// Token ids.
    pub vocab_size: usize,
    /// Numbers in a token's vector.
    pub embedding: usize,
    /// Units of a layer.
    pub hidden: usize,
    /// Layers.
    pub layers: usize,
    /// Whether the head's weights are the embedding's (arXiv:1608.05859).
    pub tied: bool,
}

impl Layout for Shape {
    const MODEL_TYPE: &'static str = "inkstone_recurrent";

    fn check(&self) -> Result<()> {
        check_widths([("vocab_size", self.vocab_size), ("embedding", self.embedding), ("hidden", self.hidden)])?;
        if self.layers == 0 || self.layers > 64 {
            return Err(refused("layers", self.layers, "from 1 to 64"));
        }
        if self.tied && self.embedding != self.hidden {
            return Err(refused("embedding", self.embedding, "as `hidden` where the head is `tied`"));
        }
        check_tensors(self)
    }

    /// The embedding, of each layer weights and biases for its input and for its state before, the head.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let wide = self.cell.cell().gates() * self.hidden;
        let mut tensors = vec![("encoder.weight".to_owned(), vec![self.vocab_size, self.embedding])];
        for layer in 0..self.layers {
            let inputs = if layer == 0 { self.embedding } else { self.hidden };
            tensors.push((format!("rnn.weight_ih_l{layer}"), vec![wide, inputs]));
            tensors.push((format!("rnn.weight_hh_l{layer}"), vec![wide, self.hidden]));
            tensors.push((format!("rnn.bias_ih_l{layer}"), vec![wide]));
            tensors.push((format!("rnn.bias_hh_l{layer}"), vec![wide]));
        }
        if !self.tied {
            tensors.push(("decoder.weight".to_owned(), vec![self.vocab_size, self.hidden]));
        }
        tensors.push(("decoder.bias".to_owned(), vec![self.vocab_size]));
        tensors
    }

    /// As in PyTorch's word language model: 0.1 for embedding and head, 1 / √hidden for the layers, 0 for the head's bias.
    fn bound(&self, name: &str) -> f32 {
        match name {
            "decoder.bias" => 0.0,
            name if name.starts_with("rnn.") => 1.0 / (self.hidden as f32).sqrt(),
            _ => 0.1,
        }
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}
