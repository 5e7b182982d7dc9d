//! The `word2vec` stage: a corpus in, vectors out.

use std::collections::BTreeMap;
use std::io::Write;

use inkstone_corpus::shards::TokenShard;
use inkstone_corpus::{Split, read_documents};
use inkstone_recipe::{Context, Estimate, Forecast, ImplicitStage, Input, Machine, Metrics, Stage, StageError};
use inkstone_tokenizer::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::config::{Architecture, Objective, Word2VecConfig};
use super::format::{Format, write_vectors};
use super::map::{MapSettings, draw_map};
use super::phrases::{PhraseSettings, join_phrases};
use super::projection::Projection;
use super::sentences::{SentenceReader, Sentences, Words};
use super::train::{Event, Lesson, train};
use super::vectors::{Space, Vectors};
use super::vocabulary::Vocabulary;
use crate::ClassicError;

/// The file of the vectors in an artifact, in the binary format.
pub const VECTORS_FILE: &str = "vectors.bin";
/// The file of the picture.
pub const MAP_FILE: &str = "map.html";

/// The `word2vec` table of a recipe.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word2VecStageConfig {
    /// The `corpus` stage.
    pub corpus: String,
    /// A stage with a tokenizer: vectors for its tokens, the row of each its id, in place of words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    /// How texts are cut into words: `spaced` (at white space, the default), or `han_apart` (every Han
    /// character is a word, too). Not with `tokenizer`.
    #[serde(default)]
    pub words: Words,
    /// Passes that join words into phrases; 0. Not with `tokenizer`.
    #[serde(default)]
    pub phrases: usize,
    /// Score above which two words become a phrase; 100.
    #[serde(default = "hundred")]
    pub phrase_threshold: f64,
    /// `skip_gram` (the default) or `cbow`.
    #[serde(default = "skip_gram")]
    pub architecture: Architecture,
    /// `{ negatives = 5 }` (the default) or `"hierarchical_softmax"`.
    #[serde(default = "five_negatives")]
    pub objective: Objective,
    /// Numbers in a vector; 100.
    #[serde(default = "hundred_numbers")]
    pub size: usize,
    /// Words looked at to each side at most; 5.
    #[serde(default = "five")]
    pub window: usize,
    /// Rarer words are passed over; 5. With `tokenizer` all tokens stay.
    #[serde(default = "five_times")]
    pub min_count: u64,
    /// Share of the text above which words are thinned out; 0.001.
    #[serde(default = "thousandth")]
    pub sample: f64,
    /// Passes over the text; 5.
    #[serde(default = "five_times")]
    pub epochs: u64,
    /// Learning rate at the start; 0.025 for skip-gram, 0.05 for CBOW.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Most frequent words in the picture; 300, 0 for none.
    #[serde(default = "three_hundred")]
    pub map_words: usize,
    /// Words read between checkpoints; 10,000,000.
    #[serde(default = "ten_million")]
    pub checkpoint_every: u64,
}

fn hundred() -> f64 {
    100.0
}
fn skip_gram() -> Architecture {
    Architecture::SkipGram
}
fn five_negatives() -> Objective {
    Objective::Negatives(5)
}
fn hundred_numbers() -> usize {
    100
}
fn five() -> usize {
    5
}
fn five_times() -> u64 {
    5
}
fn thousandth() -> f64 {
    1e-3
}
fn three_hundred() -> usize {
    300
}
fn ten_million() -> u64 {
    10_000_000
}

impl Architecture {
    /// The learning rate that the original program begins with.
    pub fn usual_rate(self) -> f64 {
        match self {
            Self::SkipGram => 0.025,
            Self::Cbow => 0.05,
        }
    }
}

impl Word2VecStageConfig {
    fn training(&self) -> Word2VecConfig {
        Word2VecConfig {
            architecture: self.architecture,
            objective: self.objective,
            size: self.size,
            window: self.window,
            min_count: self.min_count,
            sample: self.sample,
            epochs: self.epochs,
            learning_rate: self.learning_rate.unwrap_or_else(|| self.architecture.usual_rate()),
        }
    }
}

/// The `word2vec` stage.
#[derive(Debug, Clone, Copy)]
pub struct Word2VecStage;

impl Stage for Word2VecStage {
    type Config = Word2VecStageConfig;
    const KIND: &'static str = "word2vec";
    const VERSION: u32 = 2;
    const SUMMARY: &'static str = "learns a vector for each word";

    fn validate(config: &Word2VecStageConfig) -> Result<(), String> {
        if config.tokenizer.is_some() && (config.phrases > 0 || config.words != Words::Spaced) {
            return Err("`tokenizer` says what the words are; leave `words` and `phrases` out".to_owned());
        }
        if config.phrases > 10 || config.phrase_threshold.is_nan() || config.phrase_threshold <= 0.0 {
            return Err("`phrases` must be at most 10, and `phrase_threshold` above 0".to_owned());
        }
        config.training().check().map_err(|error| error.to_string())
    }

    fn inputs(config: &Word2VecStageConfig) -> Vec<Input> {
        match &config.tokenizer {
            None => vec![Input { field: "corpus", stage: config.corpus.clone(), kinds: &["corpus"] }],
            Some(tokenizer) => vec![
                Input { field: "tokens", stage: ".tokens".into(), kinds: &["tokens"] },
                Input { field: "tokenizer", stage: tokenizer.clone(), kinds: &["tokenizer"] },
            ],
        }
    }

    fn implicit(config: &Word2VecStageConfig) -> Vec<ImplicitStage> {
        let tokens = |tokenizer: &String| ImplicitStage {
            suffix: "tokens",
            kind: "tokens",
            config: json!({"corpus": config.corpus, "tokenizer": tokenizer, "append_eos": true}),
        };
        config.tokenizer.iter().map(tokens).collect()
    }

    fn estimate(config: &Word2VecStageConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        let metric = |field: &str, name: &str| inputs.get(field).and_then(|input| input.metrics.get(name).copied());
        let tokens = metric("tokens", "train_tokens").or_else(|| Some(metric("corpus", "train_bytes")? / 5.5));
        // Three products of a window of six by six vectors; half of the roof is never reached on rows so short.
        let flops = tokens.map(|tokens| tokens * config.epochs as f64 * 216.0 * config.size as f64);
        Estimate {
            tokens: tokens.map(|tokens| (tokens * config.epochs as f64) as u64),
            flops,
            seconds: flops.map(|flops| flops / (0.2 * machine.flops_per_second.max(1e9))),
            ..Estimate::default()
        }
    }

    fn run(config: &Word2VecStageConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let (vocabulary, sentences) = match config.tokenizer {
            Some(_) => tokens(context)?,
            None => words(config, context)?,
        };
        let training = config.training();
        let total = training.epochs * sentences.words() as u64;
        let bar = context.progress.task("learning vectors", Some(total), "words");
        let lesson = Lesson {
            vocabulary: &vocabulary,
            sentences: &sentences,
            config: &training,
            seed: context.seed,
            state: Some((context.state(), config.checkpoint_every)),
        };
        let vectors = train(&lesson, &mut |event| {
            match event {
                Event::Read(read) => bar.set(read),
                Event::Warning(line) => context.progress.warn(line),
            }
            !context.interrupt.requested()
        })?;
        drop(bar);
        write_vectors(&context.out().join(VECTORS_FILE), &vectors, Format::Binary)?;
        write_map(config, context, (&vocabulary, &vectors))?;
        Ok(metrics(&vocabulary, &sentences, &training))
    }
}

fn metrics(vocabulary: &Vocabulary, sentences: &Sentences, training: &Word2VecConfig) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("words".to_owned(), json!(vocabulary.len()));
    metrics.insert("parameters".to_owned(), json!(vocabulary.len() * training.size));
    metrics.insert("size".to_owned(), json!(training.size));
    metrics.insert("train_words".to_owned(), json!(sentences.words()));
    metrics
}

fn write_map(
    config: &Word2VecStageConfig,
    context: &Context<'_>,
    (vocabulary, vectors): (&Vocabulary, &Vectors),
) -> Result<(), StageError> {
    if config.map_words == 0 {
        return Ok(());
    }
    let vectors = most_frequent(config, context, (vocabulary, vectors))?;
    if vectors.words().is_empty() {
        return Ok(());
    }
    let settings = MapSettings { words: config.map_words, projection: Projection::Tsne };
    let page = draw_map(&Space::new(vectors), settings);
    let path = context.out().join(MAP_FILE);
    inkstone_recipe::fs::write_atomic_with(&path, |file| file.write_all(page.as_bytes()))
        .map_err(ClassicError::from)?;
    Ok(())
}

/// The vectors of the words that are drawn, most frequent first. Tokens are shown as the text that they stand for, and left out
/// where that is only a part of a character.
fn most_frequent(
    config: &Word2VecStageConfig,
    context: &Context<'_>,
    (vocabulary, vectors): (&Vocabulary, &Vectors),
) -> Result<Vectors, ClassicError> {
    let tokenizer =
        config.tokenizer.as_ref().map(|_| Tokenizer::load(&context.input("tokenizer").folder)).transpose()?;
    let mut ids: Vec<u32> = (0..vocabulary.len() as u32).collect();
    ids.sort_by_key(|&id| (std::cmp::Reverse(vocabulary.counts()[id as usize]), id));
    let (mut words, mut values) = (Vec::new(), Vec::new());
    for id in ids {
        if words.len() == config.map_words {
            break;
        }
        let word = match &tokenizer {
            None => vocabulary.words()[id as usize].clone(),
            Some(tokenizer) => visible(&tokenizer.decode(&[id])?, id),
        };
        if !word.contains('\u{fffd}') {
            words.push(word);
            values.extend_from_slice(vectors.row(id as usize));
        }
    }
    Vectors::new(words, vectors.size(), values)
}

/// The corpus in words.
fn words(config: &Word2VecStageConfig, context: &Context<'_>) -> Result<(Vocabulary, Sentences), StageError> {
    let corpus = context.input("corpus");
    let total = corpus.manifest.metrics.get("train_bytes").and_then(serde_json::Value::as_u64);
    let bar = context.progress.task("counting words", total, "B");
    let mut reader = SentenceReader::new(config.words);
    let mut bytes = 0;
    for document in read_documents(&corpus.folder, Split::Train).map_err(ClassicError::from)? {
        let document = document.map_err(ClassicError::from)?;
        document.text.lines().for_each(|line| reader.push(line));
        bytes += document.text.len() as u64;
        bar.set(bytes);
        context.check_interrupt()?;
    }
    let first = if config.phrases > 0 { 1 } else { config.min_count };
    let (mut vocabulary, mut sentences) = reader.finish(first)?;
    for pass in 0..config.phrases {
        let settings = PhraseSettings { min_count: config.min_count, threshold: config.phrase_threshold };
        let least = if pass + 1 == config.phrases { config.min_count } else { 1 };
        (vocabulary, sentences) = join_phrases((&vocabulary, &sentences), settings, least)?;
    }
    Ok((vocabulary, sentences))
}

/// The corpus in tokens; a document is a sentence.
fn tokens(context: &Context<'_>) -> Result<(Vocabulary, Sentences), StageError> {
    let tokenizer = Tokenizer::load(&context.input("tokenizer").folder).map_err(ClassicError::from)?;
    let shard = TokenShard::open(&context.input("tokens").folder, Split::Train).map_err(ClassicError::from)?;
    shard.check().map_err(ClassicError::from)?;
    let mut counts = vec![0; tokenizer.vocab_size()];
    let mut sentences = Sentences::default();
    for number in 0..shard.n_documents() {
        let ids: Vec<u32> = shard.tokens(shard.document(number).range).collect();
        for &id in &ids {
            counts[id as usize] += 1;
        }
        sentences.push(&ids);
    }
    if sentences.words() < 2 {
        let found = format!("{} tokens", sentences.words());
        return Err(ClassicError::TooLittle { found, expected: "at least two" }.into());
    }
    let name = |id: u32| visible(&tokenizer.token(id).unwrap_or_default(), id);
    Ok((Vocabulary::new((0..counts.len() as u32).map(name).collect(), counts), sentences))
}

/// A token as a word of the vectors' formats, in which words have no white space and are not empty.
fn visible(token: &str, id: u32) -> Box<str> {
    let shown: String = token
        .chars()
        .map(|c| match c {
            ' ' => '␠',
            '\n' => '␊',
            c if c.is_whitespace() => '␣',
            c => c,
        })
        .collect();
    if shown.is_empty() { format!("<{id}>").into() } else { shown.into() }
}
