//! Words and their ids.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// A word's number. Ids are dense, in the order in which words were first seen.
pub type WordId = u32;

/// Stands for every word that the model does not know.
pub const UNKNOWN: WordId = 0;
/// The beginning of a sentence: context only, never predicted.
pub const BEGIN: WordId = 1;
/// The end of a sentence: predicted as any word.
pub const END: WordId = 2;
/// How these three are written.
pub const SPECIALS: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// The words of a model. Their bytes lie end to end, so that millions take little more than their letters.
#[derive(Clone)]
pub struct Vocabulary {
    letters: String,
    /// Where each word ends in `letters`.
    ends: Vec<usize>,
    ids: HashTable<WordId>,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Default for Vocabulary {
    fn default() -> Self {
        let mut vocabulary = Self { letters: String::new(), ends: Vec::new(), ids: HashTable::new() };
        for word in SPECIALS {
            vocabulary.insert(word);
        }
        vocabulary
    }
}

impl Vocabulary {
    /// Only `<unk>`, `<s>` and `</s>`.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many words there are, the three special ones included.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never: the special words are always there.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// How many words can be predicted: all but `<s>`.
    pub fn predictable(&self) -> usize {
        self.len() - 1
    }

    /// The id of a word, a new one where it was not known.
    pub fn insert(&mut self, word: &str) -> WordId {
        let hash = xxh3_64(word.as_bytes());
        if let Some(&id) = self.ids.find(hash, |&id| self.word(id) == word) {
            return id;
        }
        let id = self.ends.len() as WordId;
        self.letters.push_str(word);
        self.ends.push(self.letters.len());
        let (letters, ends) = (&self.letters, &self.ends);
        self.ids.insert_unique(hash, id, |&id| xxh3_64(slice(letters, ends, id).as_bytes()));
        id
    }

    /// The id of a word, [`UNKNOWN`] where there is none.
    pub fn id(&self, word: &str) -> WordId {
        self.get(word).unwrap_or(UNKNOWN)
    }

    /// The id of a word, if it is known.
    pub fn get(&self, word: &str) -> Option<WordId> {
        self.ids.find(xxh3_64(word.as_bytes()), |&id| self.word(id) == word).copied()
    }

    /// The word of an id.
    ///
    /// # Panics
    /// If there is no such id.
    pub fn word(&self, id: WordId) -> &str {
        slice(&self.letters, &self.ends, id)
    }

    /// All words by their ids.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|id| self.word(id as WordId))
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.letters.capacity() + self.ends.capacity() * size_of::<usize>() + self.ids.capacity() * 8
    }

    /// Bits that hold any id.
    pub fn bits(&self) -> u32 {
        (usize::BITS - (self.len() - 1).leading_zeros()).max(1)
    }
}

fn slice<'a>(letters: &'a str, ends: &[usize], id: WordId) -> &'a str {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &letters[start..ends[id]]
}

#[cfg(test)]
mod tests {
    use super::{BEGIN, END, UNKNOWN, Vocabulary};

    #[test]
    fn ids_follow_first_sight_and_unknown_words_share_one() {
        let mut vocabulary = Vocabulary::new();
        assert_eq!([vocabulary.id("<unk>"), vocabulary.id("<s>"), vocabulary.id("</s>")], [UNKNOWN, BEGIN, END]);
        assert_eq!([vocabulary.insert("砚"), vocabulary.insert("b"), vocabulary.insert("砚")], [3, 4, 3]);
        assert_eq!((vocabulary.word(3), vocabulary.id("c"), vocabulary.bits()), ("砚", UNKNOWN, 3));
        for n in 0..10_000 {
            vocabulary.insert(&n.to_string());
        }
        assert_eq!(vocabulary.id("9999"), 10_004);
    }
}
