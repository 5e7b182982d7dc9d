//! A mixture of denoisers: short spans, long or many ones, and prefixes, each row by one of them, told by a token at its
//! beginning (UL2, arXiv:2205.05131, section 3.1).

use inkstone_corpus::draw::Draw;
use serde::{Deserialize, Serialize};

use super::pairs::{Corrupt, Pair};

/// One of a mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Denoiser {
    /// The share of tokens that are taken out; left out: the text is cut in two (a prefix).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Tokens of a span in the mean. Default 3.
    #[serde(default = "super::table::three")]
    pub mean: f64,
    /// The special token that a source begins with. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// Some of several ways, by the row.
pub(crate) struct Mixture {
    /// The ways, each with its token.
    pub(crate) of: Vec<(Box<dyn Corrupt>, Option<u32>)>,
}

impl Corrupt for Mixture {
    fn pair(&self, text: &[u32], draw: &mut Draw) -> Pair {
        let (corrupt, token) = &self.of[draw.below(self.of.len())];
        let Pair { source, target } = corrupt.pair(text, draw);
        Pair { source: token.iter().copied().chain(source).collect(), target }
    }

    fn extra(&self, tokens: usize) -> usize {
        1 + self.of.iter().map(|(corrupt, _)| corrupt.extra(tokens)).max().unwrap_or(0)
    }
}

/// UL2's: spans of 3 at 15 %, of 3 at half and of 32 at 15 % of the tokens, and prefixes.
pub(crate) fn default_mixture() -> Vec<Denoiser> {
    let spans = |rate, mean| Denoiser { rate: Some(rate), mean, token: None };
    vec![spans(0.15, 3.0), spans(0.5, 3.0), spans(0.15, 32.0), Denoiser { rate: None, mean: 3.0, token: None }]
}
