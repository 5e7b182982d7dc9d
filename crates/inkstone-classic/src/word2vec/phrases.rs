//! Words that belong together as one word (arXiv:1310.4546, section 4).

use std::collections::HashMap;

use super::sentences::{SentenceReader, Sentences, is_han};
use super::vocabulary::Vocabulary;
use crate::{ClassicError, Result};

/// When two neighbouring words become one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PhraseSettings {
    /// Pairs and words that come less often stay apart; the discount δ of equation 6 too.
    pub min_count: u64,
    /// Pairs whose score lies above become one word: `(n(a b) − δ) / (n(a) · n(b)) · words`.
    pub threshold: f64,
}

/// Joins pairs in one pass over the text, from left to right; a second pass finds phrases of up to four
/// words. Words are joined by `_`, Han characters by nothing.
pub fn join_phrases(
    (vocabulary, sentences): (&Vocabulary, &Sentences),
    settings: PhraseSettings,
    min_count: u64,
) -> Result<(Vocabulary, Sentences)> {
    if settings.threshold.is_nan() || settings.threshold <= 0.0 {
        let got = settings.threshold.to_string();
        return Err(ClassicError::Setting { field: "threshold", got, expected: "a number above 0".to_owned() });
    }
    let pairs = count_pairs(sentences);
    let words = sentences.words() as f64;
    let counts = vocabulary.counts();
    let is_phrase = |a: u32, b: u32| {
        let together = pairs.get(&(a, b)).copied().unwrap_or(0);
        let (left, right) = (counts[a as usize], counts[b as usize]);
        let discounted = together as f64 - settings.min_count as f64;
        together.min(left).min(right) >= settings.min_count
            && discounted / left as f64 / right as f64 * words > settings.threshold
    };
    let mut joined = SentenceReader::default();
    for sentence in sentences.iter() {
        let mut rest = sentence;
        let mut line: Vec<String> = Vec::new();
        while let Some((&a, after)) = rest.split_first() {
            let word = &vocabulary.words()[a as usize];
            if let Some(&b) = after.first().filter(|&&b| is_phrase(a, b)) {
                line.push(join(word, &vocabulary.words()[b as usize]));
                rest = &after[1..];
            } else {
                line.push(word.to_string());
                rest = after;
            }
        }
        joined.push_words(line.iter().map(String::as_str));
    }
    joined.finish(min_count)
}

fn count_pairs(sentences: &Sentences) -> HashMap<(u32, u32), u64> {
    let mut pairs = HashMap::new();
    for pair in sentences.iter().flat_map(|sentence| sentence.windows(2)) {
        *pairs.entry((pair[0], pair[1])).or_insert(0) += 1;
    }
    pairs
}

fn join(a: &str, b: &str) -> String {
    let han = a.ends_with(is_han) && b.starts_with(is_han);
    format!("{a}{}{b}", if han { "" } else { "_" })
}
