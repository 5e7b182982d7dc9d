//! Byte-pair merges (Sennrich, Haddow and Birch 2016): again and again the most frequent pair of
//! neighbouring symbols becomes a symbol.
//!
//! Pairs are counted within words only. A count that falls is corrected when its entry comes to the
//! top of the heap; a count that rises gets a new entry. Ties go to the pair with the smaller ids, so
//! the result depends on the counts alone.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use crate::error::Result;

/// Two symbols side by side.
type Pair = (u32, u32);

/// A word as symbols, and how often it occurs.
pub(super) struct Word {
    pub symbols: Vec<u32>,
    pub count: u64,
}

/// When to stop.
pub(super) struct Limits {
    /// Symbols at the end, those of the alphabet included.
    pub size: usize,
    /// The least count of a pair that is merged.
    pub min_frequency: u64,
}

/// What was learnt.
pub(super) struct Learnt {
    /// All symbols by id, the alphabet first.
    pub symbols: Vec<String>,
    /// The merges in the order in which they were learnt.
    pub merges: Vec<(String, String)>,
}

#[derive(Default)]
struct Count {
    count: i64,
    /// Words in which the pair was seen; it may be gone from some.
    words: Vec<u32>,
}

struct Learner {
    words: Vec<Word>,
    symbols: Vec<String>,
    ids: HashMap<String, u32>,
    pairs: HashMap<Pair, Count>,
    heap: BinaryHeap<(i64, Reverse<Pair>)>,
    merges: Vec<(String, String)>,
    /// What continuing symbols begin with (`##` in WordPiece), dropped where they are appended.
    prefix: &'static str,
}

/// Learns merges over `words`, whose symbols are indices into `alphabet`. `watch` is told how many
/// symbols there are.
pub(super) fn learn(
    words: Vec<Word>,
    alphabet: Vec<String>,
    prefix: &'static str,
    limits: &Limits,
    watch: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Learnt> {
    let mut learner = Learner::new(words, alphabet, prefix);
    while learner.symbols.len() < limits.size {
        let Some(pair) = learner.most_frequent(limits.min_frequency as i64) else {
            break;
        };
        learner.merge(pair);
        if learner.symbols.len().is_multiple_of(64) {
            watch(learner.symbols.len() as u64)?;
        }
    }
    Ok(Learnt { symbols: learner.symbols, merges: learner.merges })
}

impl Learner {
    fn new(words: Vec<Word>, symbols: Vec<String>, prefix: &'static str) -> Self {
        let ids = symbols.iter().cloned().zip(0..).collect();
        let mut pairs: HashMap<Pair, Count> = HashMap::new();
        for (index, word) in words.iter().enumerate() {
            for pair in word.symbols.windows(2) {
                let entry = pairs.entry((pair[0], pair[1])).or_default();
                entry.count += word.count as i64;
                remember(&mut entry.words, index as u32);
            }
        }
        let heap = pairs.iter().map(|(pair, entry)| (entry.count, Reverse(*pair)));
        Self { heap: heap.collect(), words, symbols, ids, pairs, merges: Vec::new(), prefix }
    }

    /// Takes the pair with the largest count, if that is not below `least`.
    fn most_frequent(&mut self, least: i64) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.heap.pop() {
            let current = self.pairs.get(&pair).map_or(0, |entry| entry.count);
            if count == current && count >= least {
                return Some(pair);
            }
            if count > current && current >= least {
                self.heap.push((current, Reverse(pair)));
            }
        }
        None
    }

    fn merge(&mut self, pair: Pair) {
        let merged = self.symbol_of(pair);
        let Some(Count { words: mut places, .. }) = self.pairs.remove(&pair) else {
            return;
        };
        places.sort_unstable();
        places.dedup();
        let mut changes: BTreeMap<Pair, i64> = BTreeMap::new();
        for index in places {
            let word = &mut self.words[index as usize];
            for (changed, by) in merge_in(&mut word.symbols, pair, merged) {
                *changes.entry(changed).or_default() += by * word.count as i64;
                if by > 0 {
                    remember(&mut self.pairs.entry(changed).or_default().words, index);
                }
            }
        }
        for (changed, by) in changes {
            self.change(changed, by);
        }
    }

    fn change(&mut self, pair: Pair, by: i64) {
        let Some(entry) = self.pairs.get_mut(&pair) else {
            return;
        };
        entry.count += by;
        if entry.count <= 0 {
            self.pairs.remove(&pair);
        } else if by > 0 {
            self.heap.push((entry.count, Reverse(pair)));
        }
    }

    /// The symbol for a pair. Two pairs may give the same string, and then share it.
    fn symbol_of(&mut self, (left, right): Pair) -> u32 {
        let (left, right) = (&self.symbols[left as usize], &self.symbols[right as usize]);
        let joined = format!("{left}{}", right.strip_prefix(self.prefix).unwrap_or(right));
        self.merges.push((left.clone(), right.clone()));
        let next = self.symbols.len() as u32;
        *self.ids.entry(joined).or_insert_with_key(|joined| {
            self.symbols.push(joined.clone());
            next
        })
    }
}

fn remember(words: &mut Vec<u32>, index: u32) {
    if words.last() != Some(&index) {
        words.push(index);
    }
}

/// Replaces the pair in a word from left to right, and tells how often which pair came (+1) or
/// went (-1).
fn merge_in(symbols: &mut Vec<u32>, (left, right): Pair, merged: u32) -> Vec<(Pair, i64)> {
    let mut changes = Vec::new();
    let (mut read, mut write) = (0, 0);
    while read < symbols.len() {
        let is_pair = symbols[read] == left && symbols.get(read + 1) == Some(&right);
        if is_pair {
            if write > 0 {
                let before = symbols[write - 1];
                changes.extend([((before, left), -1), ((before, merged), 1)]);
            }
            if let Some(&after) = symbols.get(read + 2) {
                changes.extend([((right, after), -1), ((merged, after), 1)]);
            }
        }
        symbols[write] = if is_pair { merged } else { symbols[read] };
        read += if is_pair { 2 } else { 1 };
        write += 1;
    }
    symbols.truncate(write);
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learnt(words: &[(&str, u64)], size: usize) -> Vec<(String, String)> {
        let mut alphabet: Vec<String> = words.iter().flat_map(|(word, _)| word.chars()).map(String::from).collect();
        alphabet.sort();
        alphabet.dedup();
        let id = |c: char| alphabet.iter().position(|s| *s == c.to_string()).unwrap() as u32;
        let words =
            words.iter().map(|&(word, count)| Word { symbols: word.chars().map(id).collect(), count }).collect();
        let limits = Limits { size, min_frequency: 2 };
        learn(words, alphabet.clone(), "", &limits, &mut |_| Ok(())).unwrap().merges
    }

    #[test]
    fn the_most_frequent_pair_first_and_ties_by_id() {
        let merges = learnt(&[("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)], 100);
        let first: Vec<String> = merges.iter().take(5).map(|(a, b)| format!("{a}+{b}")).collect();
        assert_eq!(first, ["e+s", "es+t", "l+o", "lo+w", "e+w"]);
    }

    #[test]
    fn repeated_symbols_are_counted_once_each() {
        assert_eq!(learnt(&[("aaaa", 3)], 100), [("a", "a"), ("aa", "aa")].map(own));
        assert_eq!(learnt(&[("abab", 2)], 100), [("a", "b"), ("ab", "ab")].map(own));
    }

    fn own((a, b): (&str, &str)) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn counts_stay_exact() {
        // Recount from scratch after every merge, and compare.
        let words = [("abcabcab", 7), ("cabbac", 5), ("aabbaabb", 3), ("bcbcbc", 2)];
        let alphabet: Vec<String> = ["a", "b", "c"].map(String::from).into();
        let id = |c: char| u32::from(c) - u32::from('a');
        let words =
            words.iter().map(|&(word, count)| Word { symbols: word.chars().map(id).collect(), count }).collect();
        let mut learner = Learner::new(words, alphabet, "");
        while let Some(pair) = learner.most_frequent(1) {
            learner.merge(pair);
            let mut expected: HashMap<Pair, i64> = HashMap::new();
            for word in &learner.words {
                for pair in word.symbols.windows(2) {
                    *expected.entry((pair[0], pair[1])).or_default() += word.count as i64;
                }
            }
            let counts = learner.pairs.iter().map(|(pair, entry)| (*pair, entry.count));
            assert_eq!(counts.collect::<HashMap<_, _>>(), expected);
        }
    }
}
