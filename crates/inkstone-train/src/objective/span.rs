//! Span corruption: runs of tokens are taken out, a sentinel stands for each, and the target says what they were (T5,
//! arXiv:1910.10683, section 3.1.4 and appendix; the lengths are drawn as `random_spans_noise_mask` of that paper's code does).

use inkstone_corpus::draw::Draw;
use serde::{Deserialize, Serialize};

use super::pairs::{Corrupt, Pair};

/// How much is taken out, and in which portions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spans {
    /// The share of tokens that are taken out. Default 0.15.
    #[serde(default = "super::table::fifteen_percent")]
    pub rate: f64,
    /// Tokens of a span in the mean. Default 3.
    #[serde(default = "super::table::three")]
    pub mean: f64,
}

/// Takes spans out.
pub(crate) struct SpanCorruption {
    pub(crate) spans: Spans,
    /// `<extra_id_0>`, `<extra_id_1>`, …
    pub(crate) sentinels: Vec<u32>,
    /// Ends the target.
    pub(crate) eos: u32,
}

impl SpanCorruption {
    /// Tokens that are taken out of a text, and in how many spans.
    fn sizes(&self, tokens: usize) -> (usize, usize) {
        let most = tokens.saturating_sub(1).max(1);
        let noise = ((tokens as f64 * self.spans.rate).round() as usize).clamp(1, most);
        let spans = ((noise as f64 / self.spans.mean).round() as usize).max(1);
        let kept = tokens.saturating_sub(noise).max(1);
        (noise, spans.min(noise).min(kept).min(self.sentinels.len()).max(1))
    }
}

impl Corrupt for SpanCorruption {
    /// Text and spans in turn, beginning with text and ending with a span.
    fn pair(&self, text: &[u32], draw: &mut Draw) -> Pair {
        let (noise, spans) = self.sizes(text.len());
        let taken = parts(noise, spans, draw);
        let kept = parts(text.len().saturating_sub(noise), spans, draw);
        let mut pair = Pair::default();
        let mut at = 0;
        for ((taken, kept), &sentinel) in taken.iter().zip(&kept).zip(&self.sentinels) {
            pair.source.extend(&text[at..at + kept]);
            pair.source.push(sentinel);
            at += kept;
            pair.target.push(sentinel);
            pair.target.extend(&text[at..at + taken]);
            at += taken;
        }
        pair.source.push(self.eos);
        pair.target.push(self.eos);
        pair
    }

    fn extra(&self, tokens: usize) -> usize {
        2 * self.sizes(tokens).1 + 2
    }
}

/// `total` in `n` parts, each of at least 1 where there is enough, every such division equally likely.
pub(crate) fn parts(total: usize, n: usize, draw: &mut Draw) -> Vec<usize> {
    let mut borders = draw.order(total.saturating_sub(1));
    borders.truncate(n.saturating_sub(1));
    borders.sort_unstable();
    let ends = borders.iter().map(|at| at + 1).chain(std::iter::once(total));
    let mut from = 0;
    ends.map(|to| to - std::mem::replace(&mut from, to)).collect()
}

#[cfg(test)]
mod tests {
    use inkstone_corpus::draw::Draw;

    use super::{Corrupt, SpanCorruption, Spans};

    #[test]
    fn the_target_fills_the_holes_of_the_source() {
        let sentinels: Vec<u32> = (1000..1100).collect();
        let corruption =
            SpanCorruption { spans: Spans { rate: 0.15, mean: 3.0 }, sentinels: sentinels.clone(), eos: 999 };
        for n in 1..200_usize {
            let text: Vec<u32> = (0..n as u32).collect();
            let pair = corruption.pair(&text, &mut Draw::new(7, "test", n));
            let mut restored = Vec::new();
            for &id in pair.source.iter().filter(|&&id| id != 999) {
                match sentinels.binary_search(&id) {
                    Ok(_) => {
                        let from = pair.target.iter().position(|&other| other == id).expect("its span") + 1;
                        restored.extend(pair.target[from..].iter().take_while(|&&id| id < 999));
                    }
                    Err(_) => restored.push(id),
                }
            }
            assert_eq!(restored, text);
            let noise = pair.target.iter().filter(|&&id| id < 999).count();
            let wanted = ((n as f64 * 0.15).round() as usize).max(1);
            assert_eq!(noise, wanted.min(n.saturating_sub(1).max(1)));
            assert!(pair.source.len() + pair.target.len() <= n + corruption.extra(n));
        }
    }
}
