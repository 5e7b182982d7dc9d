//! The single characters that a vocabulary begins with.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::words::{Words, increase, sorted};

/// The share of all characters that a limited alphabet covers (SentencePiece's default).
const COVERAGE: f64 = 0.9995;

/// The characters that stand for the 256 bytes in byte-level vocabularies, by byte (GPT-2's table):
/// printable bytes for themselves, the others from U+0100 on.
pub(super) fn bytes() -> Vec<char> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut others = '\u{100}'..='\u{1FF}';
    (0..=255).map(|byte| if printable(byte) { char::from(byte) } else { others.next().unwrap_or('\u{100}') }).collect()
}

/// How often each character occurs.
pub(super) fn count(words: &Words) -> BTreeMap<char, u64> {
    let mut counts = BTreeMap::new();
    for (word, count) in words {
        for c in word.chars() {
            *counts.entry(c).or_default() += count;
        }
    }
    counts
}

/// The most frequent characters: all but the rarest that make up 0.05 % of the text, and at most
/// `room`. Of equally frequent ones the first in Unicode's order.
pub(super) fn frequent(words: &Words, room: usize) -> BTreeSet<char> {
    let mut counts: Vec<(char, u64)> = count(words).into_iter().collect();
    counts.sort_by_key(|&(c, count)| (std::cmp::Reverse(count), c));
    let total: u64 = counts.iter().map(|(_, count)| count).sum();
    let enough = (total as f64 * COVERAGE) as u64;
    let mut covered = 0;
    let mut kept = BTreeSet::new();
    for (c, count) in counts {
        if covered > enough || kept.len() >= room {
            break;
        }
        covered += count;
        kept.insert(c);
    }
    kept
}

/// Cuts the words at characters outside of the alphabet, which are dropped.
pub(super) fn restrict(words: &Words, alphabet: &BTreeSet<char>) -> Words {
    let mut parts = HashMap::new();
    for (word, count) in words {
        for part in word.split(|c| !alphabet.contains(&c)).filter(|part| !part.is_empty()) {
            increase(&mut parts, part, *count);
        }
    }
    sorted(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_library() {
        let library = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let ours = bytes();
        assert_eq!(ours.len(), 256);
        assert_eq!(ours.iter().collect::<BTreeSet<_>>().len(), 256);
        assert!(ours.iter().all(|c| library.contains(c)));
        assert_eq!([ours[0], ours[32], ours[65], ours[0xAD]], ['Ā', 'Ġ', 'A', 'Ń']);
    }

    #[test]
    fn rare_characters_go_first_and_cut_words() {
        let words = vec![("ab".to_owned(), 5000), ("axb".to_owned(), 2)];
        let kept = frequent(&words, 10);
        assert_eq!(kept, BTreeSet::from(['a', 'b']));
        let cut = restrict(&words, &kept);
        assert_eq!(cut, [("a".to_owned(), 2), ("ab".to_owned(), 5000), ("b".to_owned(), 2)]);
        assert_eq!(frequent(&words, 1), BTreeSet::from(['a']));
    }
}
