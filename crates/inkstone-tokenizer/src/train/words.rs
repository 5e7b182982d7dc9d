//! Counting words.

use std::collections::HashMap;

use rayon::prelude::*;

use super::pipeline::Pipeline;
use crate::error::Result;

/// Bytes of text that are counted at once.
const BATCH_BYTES: usize = 4 << 20;

/// Words with their counts, sorted by word.
pub(super) type Words = Vec<(String, u64)>;

/// Counts the words of all texts. The sums are of whole numbers and the result is sorted, so neither
/// threads nor hash seeds can show in it.
pub(super) fn count(
    pipeline: &Pipeline,
    texts: impl Iterator<Item = Result<String>>,
    watch: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Words> {
    let (mut counts, mut batch, mut bytes, mut done) = (HashMap::new(), Vec::new(), 0, 0);
    for text in texts {
        let text = text?;
        bytes += text.len();
        batch.push(text);
        if bytes >= BATCH_BYTES {
            add(&mut counts, count_batch(pipeline, &batch)?);
            done += bytes as u64;
            watch(done)?;
            batch.clear();
            bytes = 0;
        }
    }
    add(&mut counts, count_batch(pipeline, &batch)?);
    Ok(sorted(counts))
}

fn count_batch(pipeline: &Pipeline, batch: &[String]) -> Result<HashMap<String, u64>> {
    let one = |text: &String| {
        let mut counts = HashMap::new();
        pipeline.for_words(text, &mut |word| increase(&mut counts, word, 1))?;
        Ok(counts)
    };
    batch.par_iter().map(one).try_reduce(HashMap::new, |a, b| Ok(merged(a, b)))
}

/// The smaller one is added to the larger one.
fn merged(a: HashMap<String, u64>, b: HashMap<String, u64>) -> HashMap<String, u64> {
    let (mut large, small) = if a.len() < b.len() { (b, a) } else { (a, b) };
    add(&mut large, small);
    large
}

fn add(counts: &mut HashMap<String, u64>, more: HashMap<String, u64>) {
    for (word, count) in more {
        *counts.entry(word).or_default() += count;
    }
}

pub(super) fn increase(counts: &mut HashMap<String, u64>, word: &str, by: u64) {
    if let Some(count) = counts.get_mut(word) {
        *count += by;
    } else {
        counts.insert(word.to_owned(), by);
    }
}

pub(super) fn sorted(counts: HashMap<String, u64>) -> Words {
    let mut words: Words = counts.into_iter().collect();
    words.sort_unstable();
    words
}
