//! Rows of two sentences, and what is asked of them: BERT's next sentence (arXiv:1810.04805, section 3.1) and ALBERT's order
//! of sentences (1909.11942, section 3.1).

use std::ops::Range;

use inkstone_corpus::draw::Draw;
use inkstone_corpus::loader::{Batch, IGNORE};
use serde::{Deserialize, Serialize};

use super::masked::Marks;
use super::noised::Noised;
use super::words::Words;

/// What is asked of two sentences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sentences {
    /// Nothing.
    #[default]
    None,
    /// Whether the second follows the first (label 0) or comes from elsewhere (1).
    Next,
    /// Whether they stand in their order (label 0) or the other way round (1).
    Order,
}

/// A row: two texts with a label.
struct Row {
    first: Vec<u32>,
    second: Vec<u32>,
    label: i32,
}

/// Tokens of a row that are no text: its beginning and two ends.
const FRAME: usize = 3;

/// `[CLS] first [SEP] second [SEP]` of each row of `batch`, from its longest document.
pub(crate) fn paired(asked: Sentences, batch: &Batch, (words, marks): (&Words, Marks), draws: &mut [Draw]) -> Noised {
    let halves: Vec<(Vec<u32>, Vec<u32>)> =
        draws.iter_mut().enumerate().map(|(row, draw)| halves(batch, row, words, draw)).collect();
    let mut noised = Noised { batch_size: batch.batch_size, ..Noised::default() };
    for (row, draw) in draws.iter_mut().enumerate() {
        let (first, second) = halves[row].clone();
        let other = &halves[(row + 1) % halves.len()].1;
        let turned = draw.below(2) == 1;
        let whole = !first.is_empty() && !second.is_empty();
        let row = match asked {
            _ if !whole => Row { first, second, label: IGNORE },
            Sentences::Order if turned => Row { first: second, second: first, label: 1 },
            Sentences::Next if turned && halves.len() > 1 && !other.is_empty() => {
                let room = batch.context.saturating_sub(FRAME + first.len());
                Row { first, second: other[..other.len().min(room)].to_vec(), label: 1 }
            }
            _ => Row { first, second, label: 0 },
        };
        row.append(&mut noised, marks, batch.context);
    }
    noised
}

impl Row {
    fn append(self, noised: &mut Noised, marks: Marks, context: usize) {
        let Noised { ids, ends, segments, sentences, .. } = noised;
        let (from, one) = (ids.len(), self.first.len() + 2);
        ids.push(marks.cls);
        ids.extend(self.first);
        ids.push(marks.sep);
        ids.extend(self.second);
        ids.push(marks.sep);
        let used = (ids.len() - from).min(context);
        ids.resize(from + context, marks.pad);
        ends.extend(std::iter::repeat_n(used as u32, context));
        segments.extend((0..context).map(|at| u32::from((one..used).contains(&at))));
        sentences.push(self.label);
    }
}

/// The longest document of a row, cut at the end of one of its sentences (anywhere, where it has but one).
fn halves(batch: &Batch, row: usize, words: &Words, draw: &mut Draw) -> (Vec<u32>, Vec<u32>) {
    let ids = &batch.ids[row * batch.context..(row + 1) * batch.context];
    let starts = &batch.starts[row * batch.context..(row + 1) * batch.context];
    let room = batch.context.saturating_sub(FRAME);
    let document = longest(ids, starts, words);
    let text = &ids[document.start..document.end.min(document.start + room)];
    let ends: Vec<usize> = (1..text.len()).filter(|&at| words.ends_sentence(text[at - 1])).collect();
    let cut = match ends.len() {
        0 => draw.below(text.len()),
        n => ends[draw.below(n)],
    };
    (text[..cut].to_vec(), text[cut..].to_vec())
}

/// The longest run of one document without special tokens.
fn longest(ids: &[u32], starts: &[u32], words: &Words) -> Range<usize> {
    let mut best = 0..0;
    let mut from = 0;
    for at in 0..=ids.len() {
        let border = at == ids.len() || starts[at] != starts[from.min(at)] || words.is_special(ids[at]);
        if border {
            if at.saturating_sub(from) > best.len() {
                best = from..at;
            }
            from = if at < ids.len() && words.is_special(ids[at]) { at + 1 } else { at };
        }
    }
    best
}
