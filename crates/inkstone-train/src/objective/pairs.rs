//! Objectives that turn a text into a source and a target: an encoder-decoder reads one and says the other; a decoder reads
//! both in one row, with the source visible from all of its own positions (a prefix, arXiv:1910.10683, section 3.2.1).

use inkstone_corpus::draw::Draw;
use inkstone_corpus::loader::{Batch, IGNORE};

use super::noised::{Noise, Noised, filled, labels_of, row_of};

/// What is read, and what is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pair {
    /// What is read.
    pub source: Vec<u32>,
    /// What is to be said.
    pub target: Vec<u32>,
}

/// Makes a pair of a text.
pub trait Corrupt: Send + Sync {
    /// The pair of `text`, which has at least one token.
    fn pair(&self, text: &[u32], draw: &mut Draw) -> Pair;

    /// Tokens of a pair beside those of the text, at most.
    fn extra(&self, tokens: usize) -> usize;
}

/// How a model takes a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The source goes into the encoder; the decoder begins with this token.
    EncoderDecoder {
        /// The token.
        start: u32,
    },
    /// Both stand in one row.
    Decoder,
}

/// A [`Corrupt`] over the rows of a batch.
pub(crate) struct Pairing {
    pub(crate) corrupt: Box<dyn Corrupt>,
    pub(crate) form: Form,
    pub(crate) pad: u32,
}

impl Noise for Pairing {
    fn noised(&self, batch: &Batch, draw: &dyn Fn(usize) -> Draw) -> Noised {
        let pair = |row: usize| {
            let text = row_of(batch, row, self.pad);
            let text = match self.form {
                Form::Decoder => &text[..room(text.len(), batch.context, &*self.corrupt)],
                Form::EncoderDecoder { .. } => text,
            };
            if text.is_empty() { Pair::default() } else { self.corrupt.pair(text, &mut draw(row)) }
        };
        let pairs: Vec<Pair> = (0..batch.batch_size).map(pair).collect();
        batched(&pairs, self.form, self.pad)
    }
}

/// The most tokens of a text whose pair fits into a row of `context`.
fn room(tokens: usize, context: usize, corrupt: &dyn Corrupt) -> usize {
    let fits = |tokens: &usize| tokens + corrupt.extra(*tokens) <= context + 1;
    (0..=tokens.min(context)).rev().find(fits).unwrap_or(0)
}

/// A batch of pairs.
pub(crate) fn batched(pairs: &[Pair], form: Form, pad: u32) -> Noised {
    match form {
        Form::EncoderDecoder { start } => encoded(pairs, start, pad),
        Form::Decoder => prefixed(pairs, pad),
    }
}

fn encoded(pairs: &[Pair], start: u32, pad: u32) -> Noised {
    let sources: Vec<Vec<u32>> = pairs.iter().map(|pair| pair.source.clone()).collect();
    let lengths = sources.iter().map(|source| source.len().max(1) as u32).collect();
    let shown = |pair: &Pair| {
        let before = &pair.target[..pair.target.len().saturating_sub(1)];
        std::iter::once(start).chain(before.iter().copied()).collect()
    };
    let ids: Vec<Vec<u32>> = pairs.iter().map(shown).collect();
    let labels: Vec<Vec<i32>> = pairs.iter().map(|pair| labels_of(&pair.target).collect()).collect();
    Noised {
        batch_size: pairs.len(),
        ids: filled(&ids, pad),
        labels: filled(&labels, IGNORE),
        source: Some((filled(&sources, pad), lengths)),
        ..Noised::default()
    }
}

fn prefixed(pairs: &[Pair], pad: u32) -> Noised {
    let (mut ids, mut labels, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for Pair { source, target } in pairs {
        let whole: Vec<u32> = source.iter().chain(target).copied().collect();
        let shown = whole.len().saturating_sub(1);
        let said = whole.iter().enumerate().skip(1);
        labels.push(said.map(|(at, &id)| if at < source.len() { IGNORE } else { id as i32 }).collect::<Vec<i32>>());
        ends.push((0..shown).map(|at| source.len().max(at + 1) as u32).collect::<Vec<u32>>());
        ids.push(whole[..shown].to_vec());
    }
    let longest = ids.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let ends = ends.into_iter().flat_map(|mut row| {
        row.extend((row.len()..longest).map(|at| at as u32 + 1));
        row
    });
    let ends = ends.map(|end| end.min(longest as u32)).collect();
    Noised {
        batch_size: pairs.len(),
        ids: filled(&ids, pad),
        labels: filled(&labels, IGNORE),
        ends,
        ..Noised::default()
    }
}

#[cfg(test)]
mod tests {
    use super::{Form, IGNORE, Pair, batched};

    fn pairs() -> [Pair; 2] {
        [Pair { source: vec![5, 6], target: vec![7, 8, 9] }, Pair { source: vec![4], target: vec![3] }]
    }

    #[test]
    fn an_encoder_decoder_is_shown_the_target_from_its_start_on() {
        let batch = batched(&pairs(), Form::EncoderDecoder { start: 1 }, 0);
        assert_eq!(batch.source, Some((vec![5, 6, 4, 0], vec![2, 1])));
        assert_eq!(batch.ids, [1, 7, 8, 1, 0, 0]);
        assert_eq!(batch.labels, [7, 8, 9, 3, IGNORE, IGNORE]);
    }

    #[test]
    fn a_decoder_sees_all_of_its_prefix_and_learns_what_follows() {
        let batch = batched(&pairs(), Form::Decoder, 0);
        assert_eq!(batch.ids, [5, 6, 7, 8, 4, 0, 0, 0]);
        assert_eq!(batch.labels, [IGNORE, 7, 8, 9, 3, IGNORE, IGNORE, IGNORE]);
        assert_eq!(batch.ends, [2, 2, 3, 4, 1, 2, 3, 4]);
    }
}
