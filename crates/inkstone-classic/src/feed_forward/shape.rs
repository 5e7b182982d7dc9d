//! The shape of a feed-forward language model, its `config.json`.

use serde::{Deserialize, Serialize};

use crate::neural::Layout;
use crate::{ClassicError, Result};

/// Sizes of a network, with the paper's letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Token ids, |V|.
    pub vocab_size: usize,
    /// Tokens that are looked at, n − 1.
    pub context: usize,
    /// Numbers in a token's vector, m.
    pub embedding: usize,
    /// Units of the hidden layer, h.
    pub hidden: usize,
    /// Whether the vectors lead to the outputs directly, too (W is not 0).
    pub direct: bool,
}

/// Numbers in a tensor at most.
const MOST: usize = 1 << 31;

impl Shape {
    /// Numbers that the network sees at once, (n − 1) · m.
    pub(crate) fn seen(&self) -> usize {
        self.context * self.embedding
    }
}

impl Layout for Shape {
    const MODEL_TYPE: &'static str = "inkstone_feed_forward";

    fn check(&self) -> Result<()> {
        let refused = |field, got: usize, expected: &str| {
            Err(ClassicError::Setting { field, got: got.to_string(), expected: expected.to_owned() })
        };
        for (field, got) in [("vocab_size", self.vocab_size), ("embedding", self.embedding), ("hidden", self.hidden)] {
            if got == 0 || got > 1 << 24 {
                return refused(field, got, "from 1 to 16777216");
            }
        }
        if self.context == 0 || self.context > 1000 {
            return refused("context", self.context, "from 1 to 1000");
        }
        let sizes = self.tensors().into_iter().map(|(_, shape)| shape.iter().product());
        match sizes.max().filter(|&size: &usize| size > MOST) {
            Some(size) => refused("vocab_size", size, "such that no tensor has more than 2147483648 numbers"),
            None => Ok(()),
        }
    }

    /// C with a last row for what is before the text, H and d, U and b, and W where there is one.
    fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = vec![
            ("encoder.weight".to_owned(), vec![self.vocab_size + 1, self.embedding]),
            ("hidden.weight".to_owned(), vec![self.hidden, self.seen()]),
            ("hidden.bias".to_owned(), vec![self.hidden]),
            ("decoder.weight".to_owned(), vec![self.vocab_size, self.hidden]),
            ("decoder.bias".to_owned(), vec![self.vocab_size]),
        ];
        if self.direct {
            tensors.push(("direct.weight".to_owned(), vec![self.vocab_size, self.seen()]));
        }
        tensors
    }

    /// 0.1 for the vectors, 1 / √inputs for the layers, 0 for biases and W: the direct way begins as if it were not there.
    fn bound(&self, name: &str) -> f32 {
        match name {
            "encoder.weight" => 0.1,
            "hidden.weight" => 1.0 / (self.seen() as f32).sqrt(),
            "decoder.weight" => 1.0 / (self.hidden as f32).sqrt(),
            _ => 0.0,
        }
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }
}
