//! How well a model predicts a text, and how fast.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::cache::Cache;
use super::model::{Model, Score, Scorer, State};
use super::talk::Talk;
use super::text::pieces;
use super::unit::Splitter;
use super::vocabulary::{END, UNKNOWN, WordId};
use crate::error::{ClassicError, Result};

/// How well a model predicts a text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean negative log-likelihood in nats per token, the ends of sentences included.
    pub loss: f64,
    /// Its exponential.
    pub perplexity: f64,
    /// The same over the words that the model knows.
    pub perplexity_known: f64,
    /// Negative log-likelihood in bits over the bytes of the text. Comparable across models where `unknown` is 0: an
    /// unknown word counts as one, however it is spelt.
    pub bits_per_byte: f64,
    /// Words predicted, the ends of sentences included.
    pub tokens: u64,
    /// Words that the model does not know.
    pub unknown: u64,
    /// Sentences.
    pub sentences: u64,
    /// Bytes of the text.
    pub bytes: u64,
    /// How many words were found in an n-gram of 1, 2, … words.
    pub orders: Vec<u64>,
    /// Seconds, reading included.
    pub seconds: f64,
    /// Words per second, reading included.
    pub tokens_per_second: f64,
    /// Words per second once they are ids.
    pub queries_per_second: f64,
}

/// What is evaluated besides the model itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mixture {
    /// A cache of recent words, and its weight.
    pub cache: Option<(usize, f64)>,
}

/// Words that are scored at once.
const BATCH: usize = 1 << 16;

/// Evaluates a model on a text file, one sentence a line; with a tokenizer the whole file is one sentence.
pub fn evaluate(
    model: &Model,
    splitter: &Splitter,
    path: &Path,
    mixture: Mixture,
    talk: Talk<'_>,
) -> Result<Evaluation> {
    let started = Instant::now();
    let mut sums = Sums::new(model, mixture);
    pieces(path, splitter.unit(), talk, |piece, ends| {
        sums.read(piece, splitter)?;
        if ends {
            sums.end();
        }
        Ok(())
    })?;
    sums.bytes = std::fs::metadata(path).map_err(ClassicError::io("read", path))?.len();
    sums.flush();
    if sums.tokens == 0 {
        return Err(ClassicError::Empty { path: path.to_owned(), what: "words to predict" });
    }
    Ok(sums.evaluation(started.elapsed()))
}

/// Evaluates a model on documents, each a text of its own.
pub fn evaluate_documents(
    model: &Model,
    splitter: &Splitter,
    documents: impl Iterator<Item = Result<String>>,
) -> Result<Option<Evaluation>> {
    let started = Instant::now();
    let mut sums = Sums::new(model, Mixture::default());
    for document in documents {
        let document = document?;
        sums.bytes += document.len() as u64;
        for piece in splitter.sentences(&document) {
            sums.read(piece, splitter)?;
            sums.end();
        }
    }
    sums.flush();
    Ok((sums.tokens > 0).then(|| sums.evaluation(started.elapsed())))
}

struct Sums<'a> {
    model: &'a Model,
    scorer: Scorer<'a>,
    state: State,
    cache: Option<Cache>,
    waiting: Vec<WordId>,
    log10: f64,
    log10_known: f64,
    tokens: u64,
    unknown: u64,
    sentences: u64,
    bytes: u64,
    orders: Vec<u64>,
    scoring: Duration,
}

impl<'a> Sums<'a> {
    fn new(model: &'a Model, mixture: Mixture) -> Self {
        let scorer = model.scorer();
        Self {
            state: scorer.begin(),
            orders: vec![0; model.order()],
            cache: mixture.cache.map(|(size, weight)| Cache::new(size, weight)),
            waiting: Vec::with_capacity(BATCH),
            model,
            scorer,
            log10: 0.0,
            log10_known: 0.0,
            tokens: 0,
            unknown: 0,
            sentences: 0,
            bytes: 0,
            scoring: Duration::ZERO,
        }
    }

    fn read(&mut self, piece: &str, splitter: &Splitter) -> Result<()> {
        let (vocabulary, waiting) = (self.model.vocabulary(), &mut self.waiting);
        splitter.split(piece, |word| waiting.push(vocabulary.id(word)))
    }

    fn end(&mut self) {
        self.waiting.push(END);
        self.sentences += 1;
        if self.waiting.len() >= BATCH {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let started = Instant::now();
        let Self { scorer, state, waiting, cache, orders, log10, log10_known, unknown, .. } = self;
        scorer.score_all(waiting, state, |word, Score { log10: own, order }| {
            let mixed = cache.as_mut().map_or(own, |cache| cache.mix(word, own));
            *log10 += mixed;
            orders[order - 1] += 1;
            if word == UNKNOWN {
                *unknown += 1;
            } else {
                *log10_known += mixed;
            }
        });
        self.tokens += self.waiting.len() as u64;
        self.waiting.clear();
        self.scoring += started.elapsed();
    }

    fn evaluation(self, whole: Duration) -> Evaluation {
        let nats = -self.log10 * std::f64::consts::LN_10;
        let known = (self.tokens - self.unknown).max(1) as f64;
        let per_second = |time: Duration| self.tokens as f64 / time.as_secs_f64().max(1e-9);
        Evaluation {
            loss: nats / self.tokens as f64,
            perplexity: (nats / self.tokens as f64).exp(),
            perplexity_known: 10f64.powf(-self.log10_known / known),
            bits_per_byte: nats / std::f64::consts::LN_2 / self.bytes.max(1) as f64,
            tokens: self.tokens,
            unknown: self.unknown,
            sentences: self.sentences,
            bytes: self.bytes,
            seconds: whole.as_secs_f64(),
            tokens_per_second: per_second(whole),
            queries_per_second: per_second(self.scoring),
            orders: self.orders,
        }
    }
}
