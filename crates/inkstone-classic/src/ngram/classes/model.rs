//! Classes of words, and a model over them.

use std::collections::BTreeMap;
use std::path::Path;

use super::exchange::{Bigrams, exchange};
use crate::error::{ClassicError, Result};
use crate::ngram::count::Sentences;
use crate::ngram::estimate::{Training, estimate};
use crate::ngram::model::Table;
use crate::ngram::talk::Talk;
use crate::ngram::vocabulary::{BEGIN, END, SPECIALS, UNKNOWN, Vocabulary, WordId};

/// The class of each word of a vocabulary, from 1 on; 0 for the special words.
#[derive(Debug, Clone)]
pub struct Classes {
    class: Vec<u32>,
    /// How often each word occurs.
    counts: Vec<u64>,
}

impl Classes {
    /// Finds `classes` classes for the words of sentences, which are without `<s>` and `</s>`.
    pub fn find(sentences: &[Vec<WordId>], vocabulary: &Vocabulary, classes: usize, rounds: usize) -> Result<Self> {
        let movable: Vec<WordId> = (SPECIALS.len() as WordId..vocabulary.len() as WordId).collect();
        if classes == 0 || classes > movable.len() || classes > 10_000 {
            let expected = format!("1 to {} (the number of words, 10000 at most)", movable.len().min(10_000));
            return Err(ClassicError::Setting { field: "classes", got: classes.to_string(), expected });
        }
        let bordered: Vec<Vec<WordId>> =
            sentences.iter().map(|words| [&[BEGIN], words.as_slice(), &[END]].concat()).collect();
        let bigrams = Bigrams::count(bordered.iter().map(Vec::as_slice), vocabulary.len());
        Ok(Self { class: exchange(&bigrams, &movable, classes, rounds), counts: bigrams.counts().to_vec() })
    }

    /// The class of a word.
    pub fn of(&self, word: WordId) -> u32 {
        self.class.get(word as usize).copied().unwrap_or(0)
    }

    /// The words of each class, most frequent first.
    pub fn members(&self) -> BTreeMap<u32, Vec<WordId>> {
        let mut members: BTreeMap<u32, Vec<WordId>> = BTreeMap::new();
        for word in SPECIALS.len()..self.class.len() {
            members.entry(self.class[word]).or_default().push(word as WordId);
        }
        for words in members.values_mut() {
            words.sort_by_key(|&word| (std::cmp::Reverse(self.counts[word as usize]), word));
        }
        members
    }

    /// Writes a line a word: class, word, occurrences, parted by tabs.
    pub fn write(&self, path: &Path, vocabulary: &Vocabulary) -> Result<()> {
        let mut text = String::new();
        for (class, words) in self.members() {
            for word in words {
                let fields =
                    [class.to_string().as_str(), vocabulary.word(word), &self.counts[word as usize].to_string()]
                        .join("\t");
                text.push_str(&fields);
                text.push('\n');
            }
        }
        Ok(inkstone_recipe::fs::write_atomic(path, text.as_bytes())?)
    }
}

/// A back-off model over classes, and how often each word stands for its class.
#[derive(Debug)]
pub struct ClassModel {
    classes: Classes,
    /// The model over classes; their names are their numbers.
    table: Table,
    /// By the class: occurrences.
    totals: Vec<u64>,
}

impl ClassModel {
    /// Estimates the model from the sentences that the classes were found on.
    pub fn train(sentences: &[Vec<WordId>], classes: Classes, training: &Training, talk: Talk<'_>) -> Result<Self> {
        let mut vocabulary = Vocabulary::new();
        let mut mapped = Sentences::new(training.room.clone());
        for words in sentences {
            let ids: Vec<WordId> = words.iter().map(|&word| class_id(&mut vocabulary, &classes, word)).collect();
            mapped.push(&ids)?;
            mapped.end()?;
        }
        let table = Table::of(estimate(mapped, vocabulary, training, talk)?)?;
        let mut totals = vec![0; classes.class.iter().max().map_or(1, |&most| most as usize + 1)];
        for (word, &count) in classes.counts.iter().enumerate() {
            totals[classes.class[word] as usize] += count;
        }
        Ok(Self { classes, table, totals })
    }

    /// log₁₀ p(class of word | classes of history) + log₁₀ p(word | its class).
    pub fn log10_probability(&self, history: &[WordId], word: WordId) -> f64 {
        let kept = &history[history.len().saturating_sub(self.table.order() - 1)..];
        let ngram: Vec<WordId> = kept.iter().chain([&word]).map(|&word| self.class_id(word)).collect();
        self.table.log10_probability(&ngram) + self.log10_emission(word)
    }

    fn class_id(&self, word: WordId) -> WordId {
        match self.classes.of(word) {
            0 => word.min(END),
            class => self.table.vocabulary().id(&class.to_string()),
        }
    }

    fn log10_emission(&self, word: WordId) -> f64 {
        match self.classes.of(word) {
            0 => 0.0,
            class => (self.classes.counts[word as usize] as f64 / self.totals[class as usize] as f64).log10(),
        }
    }
}

fn class_id(vocabulary: &mut Vocabulary, classes: &Classes, word: WordId) -> WordId {
    match classes.of(word) {
        0 => {
            if word <= END {
                word
            } else {
                UNKNOWN
            }
        }
        class => vocabulary.insert(&class.to_string()),
    }
}
