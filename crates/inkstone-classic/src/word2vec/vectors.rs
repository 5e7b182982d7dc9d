//! Words with their vectors.

use std::collections::HashMap;

use inkstone_kernels::{LinearShape, Precision, linear};

use crate::{ClassicError, Result};

/// A vector for each word.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectors {
    words: Vec<Box<str>>,
    size: usize,
    values: Vec<f32>,
}

impl Vectors {
    /// Words, and their vectors of `size` numbers in the same order.
    ///
    /// # Errors
    /// If `values` is not `size` numbers for each word.
    pub fn new(words: Vec<Box<str>>, size: usize, values: Vec<f32>) -> Result<Self> {
        if size == 0 || Some(values.len()) != words.len().checked_mul(size) {
            let got = format!("{} numbers for {} words of {size}", values.len(), words.len());
            let expected = "a number for each word and column".to_owned();
            return Err(ClassicError::Setting { field: "vectors", got, expected });
        }
        Ok(Self { words, size, values })
    }

    /// The words, most frequent first where a training made them.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// Numbers in a vector.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The vector of the `n`-th word.
    pub fn row(&self, n: usize) -> &[f32] {
        &self.values[n * self.size..][..self.size]
    }

    /// All vectors, `[words, size]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The first `n` words.
    #[must_use]
    pub fn truncated(mut self, n: usize) -> Self {
        self.words.truncate(n);
        self.values.truncate(n * self.size);
        self
    }
}

/// A word and how near it is, by the cosine of the angle.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Neighbour {
    /// The word.
    pub word: String,
    /// Cosine similarity, from −1 to 1.
    pub similarity: f32,
}

/// Vectors of length 1 that can be asked for what is near.
#[derive(Debug)]
pub struct Space {
    words: Vec<Box<str>>,
    ids: HashMap<Box<str>, u32>,
    size: usize,
    /// `[words, size]`, each row of length 1 (or 0).
    units: Vec<f32>,
}

impl Space {
    /// Brings all vectors to length 1. Of a word that stands twice the first counts.
    pub fn new(vectors: Vectors) -> Self {
        let Vectors { words, size, values: mut units } = vectors;
        units.chunks_exact_mut(size).for_each(normalise);
        let mut ids = HashMap::with_capacity(words.len());
        for (id, word) in (0..).zip(&words) {
            ids.entry(word.clone()).or_insert(id);
        }
        Self { words, ids, size, units }
    }

    /// The words by id.
    pub fn words(&self) -> &[Box<str>] {
        &self.words
    }

    /// The id of a word.
    pub fn id(&self, word: &str) -> Option<u32> {
        self.ids.get(word).copied()
    }

    /// The id of a word that must be there.
    pub fn find(&self, word: &str) -> Result<u32> {
        self.id(word).ok_or_else(|| ClassicError::UnknownWord { word: word.to_owned(), words: self.words.len() })
    }

    /// The vector of an id, of length 1.
    pub fn unit(&self, id: u32) -> &[f32] {
        &self.units[id as usize * self.size..][..self.size]
    }

    /// The cosine of the angle between two words.
    pub fn similarity(&self, a: u32, b: u32) -> f32 {
        self.unit(a).iter().zip(self.unit(b)).map(|(a, b)| a * b).sum()
    }

    /// The sum of words' unit vectors with signs, brought to length 1: `king − man + woman`.
    pub fn direction(&self, terms: &[(f32, u32)]) -> Vec<f32> {
        let mut sum = vec![0.0; self.size];
        for &(sign, id) in terms {
            sum.iter_mut().zip(self.unit(id)).for_each(|(sum, x)| *sum += sign * x);
        }
        normalise(&mut sum);
        sum
    }

    /// The `n` words nearest to a direction, those of `without` left out.
    pub fn nearest(&self, direction: &[f32], without: &[u32], n: usize) -> Vec<Neighbour> {
        let similarities = self.similarities(direction);
        let mut ids: Vec<u32> = (0..self.words.len() as u32).filter(|id| !without.contains(id)).collect();
        let key = |&id: &u32| similarities[id as usize];
        ids.sort_by(|a, b| key(b).total_cmp(&key(a)).then(a.cmp(b)));
        ids.truncate(n);
        let named =
            |id: u32| Neighbour { word: self.words[id as usize].to_string(), similarity: similarities[id as usize] };
        ids.into_iter().map(named).collect()
    }

    /// The cosines of all words (columns) with `directions` (rows).
    pub(crate) fn similarities(&self, directions: &[f32]) -> Vec<f32> {
        let rows = directions.len() / self.size;
        let mut similarities = vec![0.0; rows * self.words.len()];
        let shape = LinearShape { rows, inputs: self.size, outputs: self.words.len() };
        linear(&mut similarities, directions, &self.units, shape, Precision::F32);
        similarities
    }
}

fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for x in vector {
            *x = (f64::from(*x) / length) as f32;
        }
    }
}
