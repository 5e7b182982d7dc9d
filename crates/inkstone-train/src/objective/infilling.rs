//! Blank infilling: spans are taken out of a text, a mask stands for each, and behind the text they are said in a drawn order,
//! each from its own position on (GLM, arXiv:2103.10360, sections 2.1 and 2.2).

use std::ops::Range;

use inkstone_corpus::draw::Draw;
use inkstone_corpus::loader::{Batch, IGNORE};
use serde::{Deserialize, Serialize};

use super::noised::{Noise, Noised, filled, row_of};

/// What is taken out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blanks {
    /// Spans of Poisson(3) tokens, 15 % of the text.
    #[default]
    Short,
    /// One span of half of the text or more.
    Long,
    /// Each row by one of both.
    Both,
}

/// Blank infilling.
pub(crate) struct Infilling {
    pub(crate) blanks: Blanks,
    /// Stands for a span.
    pub(crate) mask: u32,
    /// A span begins with it.
    pub(crate) start: u32,
    /// A span ends with it.
    pub(crate) end: u32,
    pub(crate) pad: u32,
}

/// A row: what is shown, what is to be said, the places, and how much of it is the text.
#[derive(Default)]
struct Row {
    ids: Vec<u32>,
    labels: Vec<i32>,
    places: Vec<[u32; 2]>,
    text: usize,
}

impl Noise for Infilling {
    fn noised(&self, batch: &Batch, draw: &dyn Fn(usize) -> Draw) -> Noised {
        let row = |row: usize| {
            let text = row_of(batch, row, self.pad);
            self.row(&text[..room(text.len(), batch.context)], &mut draw(row))
        };
        let rows: Vec<Row> = (0..batch.batch_size).map(row).collect();
        let longest = rows.iter().map(|row| row.ids.len()).max().unwrap_or(0).max(1);
        let ends = rows.iter().flat_map(|row| (0..longest).map(|at| row.text.max(at + 1) as u32)).collect();
        let column = |pick: fn(&Row) -> Vec<u32>| filled(&rows.iter().map(pick).collect::<Vec<_>>(), self.pad);
        Noised {
            batch_size: batch.batch_size,
            ids: column(|row| row.ids.clone()),
            labels: filled(&rows.iter().map(|row| row.labels.clone()).collect::<Vec<_>>(), IGNORE),
            ends,
            places: filled(&rows.iter().map(|row| row.places.clone()).collect::<Vec<_>>(), [0, 0]),
            ..Noised::default()
        }
    }
}

/// Tokens of a text that still fit with a mask and a start for each of as many spans as there may be.
fn room(tokens: usize, context: usize) -> usize {
    (0..=tokens).rev().find(|&n| n + 2 * most_spans(n) <= context).unwrap_or(0)
}

fn most_spans(tokens: usize) -> usize {
    tokens.div_ceil(6).max(1)
}

impl Infilling {
    fn row(&self, text: &[u32], draw: &mut Draw) -> Row {
        let mut row = Row::default();
        let spans = self.spans(text.len(), draw);
        let mut at = 0;
        let mut masks = Vec::new();
        for span in &spans {
            row.ids.extend(&text[at..span.start]);
            masks.push(row.ids.len() as u32);
            row.ids.push(self.mask);
            at = span.end;
        }
        row.ids.extend(&text[at.min(text.len())..]);
        row.text = row.ids.len();
        row.places.extend((0..row.text).map(|at| [at as u32, 0]));
        row.labels.resize(row.text, IGNORE);
        for n in draw.order(spans.len()) {
            let span = &text[spans[n].clone()];
            row.ids.extend(std::iter::once(&self.start).chain(span));
            row.labels.extend(span.iter().chain(std::iter::once(&self.end)).map(|&id| id as i32));
            row.places.extend((0..=span.len()).map(|at| [masks[n], at as u32 + 1]));
        }
        row
    }

    /// Spans that are taken out, rising, without overlap.
    fn spans(&self, tokens: usize, draw: &mut Draw) -> Vec<Range<usize>> {
        if tokens == 0 {
            return Vec::new();
        }
        let long = match self.blanks {
            Blanks::Short => false,
            Blanks::Long => true,
            Blanks::Both => draw.below(2) == 1,
        };
        if long {
            let length = (tokens / 2 + draw.below(tokens - tokens / 2 + 1)).clamp(1, tokens);
            let start = draw.below(tokens - length + 1);
            return std::iter::once(start..start + length).collect();
        }
        short_spans(tokens, draw)
    }
}

/// Spans of Poisson(3) tokens until 15 % are taken, with text between any two.
fn short_spans(tokens: usize, draw: &mut Draw) -> Vec<Range<usize>> {
    let wanted = ((tokens as f64 * 0.15).round() as usize).max(1);
    let mut lengths = Vec::new();
    let mut total = 0;
    while total < wanted && lengths.len() < most_spans(tokens) {
        let length = poisson(3.0, draw).clamp(1, wanted - total);
        lengths.push(length);
        total += length;
    }
    // What is left stands before, between and behind the spans; between two there is at least one token.
    let free = (tokens - total).saturating_sub(lengths.len() - 1);
    let mut gaps: Vec<usize> = (0..lengths.len()).map(|_| draw.below(free + 1)).collect();
    gaps.sort_unstable();
    let mut before = 0;
    let span = |((n, &length), &gap): ((usize, &usize), &usize)| {
        let start = gap + before + n;
        before += length;
        start..start + length
    };
    lengths.iter().enumerate().zip(&gaps).map(span).collect()
}

/// A draw of a Poisson distribution (Knuth, The Art of Computer Programming, 3.4.1).
fn poisson(mean: f64, draw: &mut Draw) -> usize {
    let limit = (-mean).exp();
    let mut product = draw.unit();
    let mut n = 0;
    while product > limit && n < 1000 {
        product *= draw.unit();
        n += 1;
    }
    n
}

#[cfg(test)]
mod tests {
    use inkstone_corpus::draw::Draw;

    use super::{Blanks, Infilling, most_spans};

    #[test]
    fn every_token_is_shown_or_said_at_its_place() {
        for (n, blanks) in (1..150).flat_map(|n| [Blanks::Short, Blanks::Long, Blanks::Both].map(|blanks| (n, blanks)))
        {
            let text: Vec<u32> = (10..10 + n as u32).collect();
            let infilling = Infilling { blanks, mask: 1, start: 2, end: 3, pad: 0 };
            let row = infilling.row(&text, &mut Draw::new(3, "test", n));
            assert!(row.ids.len() <= n + 2 * most_spans(n), "{n}");
            let mut seen: Vec<u32> = row.ids[..row.text].iter().copied().filter(|&id| id >= 10).collect();
            seen.extend(row.labels.iter().filter(|&&label| label >= 10).map(|&label| label as u32));
            seen.sort_unstable();
            assert_eq!(seen, text);
            for at in row.text..row.ids.len() {
                let [place, within] = row.places[at];
                assert_eq!(row.ids[place as usize], 1);
                assert_eq!(row.ids[at] == 2, within == 1);
            }
        }
    }
}
