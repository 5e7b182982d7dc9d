//! The Unigram language model (Kudo 2018), by the trainer of the `tokenizers` crate.
//!
//! Two things in that trainer are not deterministic, and both are mended here. Its sums of floats
//! depend on how the sentences are spread over threads: it runs on one thread, with sorted sentences.
//! And it gives single characters that no longer have a score of their own scores that rise from the
//! smallest one by 0.0001, in the order of a hash set: these scores are dealt out again in Unicode's
//! order, and pieces of equal score are sorted.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use tokenizers::models::unigram::{Unigram, UnigramTrainer};

use super::words::Words;
use crate::error::{Result, TokenizerError};

/// A piece and its logarithmic probability.
pub(super) type Piece = (String, f64);

/// The step between the scores of characters without a score.
const PENALTY: f64 = 0.0001;
/// Scores are rounded to nine decimals, which every JSON parser reads back exactly.
const ROUNDING: f64 = 1e9;

/// A target at which the trainer prunes nothing.
const UNPRUNED: usize = 1 << 20;

/// Learns at most `size` pieces, the most probable first. Pruning can overshoot on small texts; then
/// the most probable pieces of an unpruned vocabulary are taken.
pub(super) fn learn(words: &Words, size: usize) -> Result<Vec<Piece>> {
    let pruned = train(words, size)?;
    if pruned.len() >= size {
        return Ok(pruned);
    }
    Ok(most_probable(train(words, UNPRUNED)?, size))
}

/// All single characters, and of the others as many as have room.
fn most_probable(mut pieces: Vec<Piece>, size: usize) -> Vec<Piece> {
    let is_single = |piece: &Piece| is_character(&piece.0);
    let singles = pieces.iter().filter(|piece| is_single(piece)).count();
    let mut room = size.saturating_sub(singles);
    pieces.retain(|piece| {
        let kept = is_single(piece) || room > 0;
        room -= usize::from(kept && !is_single(piece));
        kept
    });
    pieces
}

/// Candidates before pruning. SentencePiece takes a million, from which pruning to a small vocabulary
/// takes most of the time.
fn seeds(size: usize) -> usize {
    (16 * size).clamp(100_000, 1_000_000)
}

fn train(words: &Words, size: usize) -> Result<Vec<Piece>> {
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(size as u32)
        .seed_size(seeds(size))
        .build()
        .map_err(TokenizerError::training)?;
    let sentences =
        words.iter().map(|(word, count)| (word.clone(), u32::try_from(*count).unwrap_or(u32::MAX))).collect();
    let mut model = Unigram::default();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(TokenizerError::training)?;
    catch_unwind(AssertUnwindSafe(|| alone.install(|| trainer.do_train(sentences, &mut model).map(drop))))
        .map_err(|_| TokenizerError::training("a probability is not a number"))?
        .map_err(TokenizerError::training)?;
    Ok(settle(model.iter().cloned().collect()))
}

/// Deals out the scores of characters without a score again, rounds and sorts.
fn settle(pieces: Vec<Piece>) -> Vec<Piece> {
    let least = pieces.iter().map(|(_, score)| *score).fold(f64::INFINITY, f64::min);
    let chained = chained_scores(&pieces, least);
    let is_chained = |(piece, score): &Piece| is_character(piece) && chained.contains(&score.to_bits());
    let (mut dealt, mut others): (Vec<Piece>, Vec<Piece>) = pieces.into_iter().partition(is_chained);
    let mut scores: Vec<f64> = dealt.iter().map(|(_, score)| *score).collect();
    scores.sort_by(f64::total_cmp);
    dealt.sort_by(|(a, _), (b, _)| a.cmp(b));
    for ((_, score), dealt) in dealt.iter_mut().zip(scores) {
        *score = dealt;
    }
    others.extend(dealt);
    for (_, score) in &mut others {
        *score = (*score * ROUNDING).round() / ROUNDING;
    }
    others.sort_by(|(a, x), (b, y)| y.total_cmp(x).then_with(|| a.cmp(b)));
    others
}

fn is_character(piece: &str) -> bool {
    piece.chars().nth(1).is_none()
}

/// The bits of the scores that rise from the least one as the trainer lets them, as far as characters
/// have them.
fn chained_scores(pieces: &[Piece], least: f64) -> BTreeSet<u64> {
    let present: BTreeSet<u64> =
        pieces.iter().filter(|(piece, _)| is_character(piece)).map(|(_, score)| score.to_bits()).collect();
    let mut chain = BTreeSet::new();
    let mut penalty = 0.0;
    while present.contains(&(least + penalty).to_bits()) {
        chain.insert((least + penalty).to_bits());
        penalty += PENALTY;
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_dealt_out_in_one_order() {
        let least = -9.0;
        let chain = [least, least + PENALTY, least + (PENALTY + PENALTY)];
        let pieces = |order: [usize; 3]| {
            let mut pieces = vec![("ab".to_owned(), -1.0), ("墨".to_owned(), -2.0)];
            for (piece, at) in ["y", "x", "砚"].into_iter().zip(order) {
                pieces.push((piece.to_owned(), chain[at]));
            }
            pieces
        };
        let settled = settle(pieces([0, 1, 2]));
        assert_eq!(settled, settle(pieces([2, 0, 1])));
        let names: Vec<&str> = settled.iter().map(|(piece, _)| piece.as_str()).collect();
        assert_eq!(names, ["ab", "墨", "砚", "y", "x"]);
    }
}
