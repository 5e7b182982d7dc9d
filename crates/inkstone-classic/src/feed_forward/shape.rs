//! The shape of a feed-forward language model, its `config.json`.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::neural::{Layout, check_tensors, check_widths, refused};

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

impl Shape {
    /// Numbers that the network sees at once, (n − 1) · m.
    pub(crate) fn seen(&self) -> usize {
        self.context * self.embedding
    }
}

impl Layout for Shape {
    const MODEL_TYPE: &'static str = "inkstone_feed_forward";

    fn check(&self) -> Result<()> {
        check_widths([("vocab_size", self.vocab_size), ("embedding", self.embedding), ("hidden", self.hidden)])?;
        if self.context == 0 || self.context > 1000 {
            return Err(refused("context", self.context, "from 1 to 1000"));
        }
        check_tensors(self)
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
