//! From settings and texts to a tokenizer.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{AddedToken, ModelWrapper};

use super::config::{Algorithm, TokenizerConfig};
use super::merges::{Limits, Word, learn};
use super::pipeline::Pipeline;
use super::{alphabet, unigram, words};
use crate::chat::ChatTemplate;
use crate::error::{Result, TokenizerError};
use crate::tokenizer::Tokenizer;

/// The end of a document, also the beginning of a text.
const END_OF_TEXT: &str = "<|endoftext|>";
const PAD: &str = "<|pad|>";
const TURN_START: &str = "<|im_start|>";
const TURN_END: &str = "<|im_end|>";
const UNKNOWN: &str = "<|unk|>";
/// The unknown and the bytes, which every Unigram vocabulary has.
const UNIGRAM_FIXED: usize = 1 + 256;
/// What WordPiece pieces within a word begin with.
const CONTINUING: &str = "##";

/// What is told of the work: what is being done, and how far it is (bytes read, or tokens made).
pub(crate) type Watch<'a> = &'a mut dyn FnMut(Step, u64) -> Result<()>;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Texts are read; in bytes.
    Counting,
    /// The vocabulary grows; in tokens.
    Merging,
}

pub(super) fn train(
    config: &TokenizerConfig,
    template: Option<&str>,
    texts: impl Iterator<Item = Result<String>>,
    watch: Watch<'_>,
) -> Result<Tokenizer> {
    config.check().map_err(TokenizerError::training)?;
    let pipeline = Pipeline::new(config)?;
    let model = match config.algorithm {
        Algorithm::Byte => bytes_model()?,
        Algorithm::Character => characters_model(texts, watch)?,
        _ => {
            let words = words::count(&pipeline, texts, &mut |done| watch(Step::Counting, done))?;
            if words.is_empty() {
                return Err(TokenizerError::NoText);
            }
            sized_model(config, words, watch)?
        }
    };
    finish(config, template, model, pipeline)
}

fn sized_model(config: &TokenizerConfig, words: words::Words, watch: Watch<'_>) -> Result<ModelWrapper> {
    match config.algorithm {
        Algorithm::Unigram => unigram_model(config, &words),
        Algorithm::Wordpiece => wordpiece_model(config, words, watch),
        _ => bpe_model(config, words, watch),
    }
}

/// Tokens of the model alone, after the special ones that are added to it.
fn room(config: &TokenizerConfig, least: usize) -> Result<usize> {
    let asked = config.vocab_size.unwrap_or_default();
    let specials = added_specials(config).len();
    match asked.checked_sub(specials) {
        Some(room) if room > least => Ok(room),
        _ => Err(TokenizerError::VocabularyTooSmall { asked, least: least + specials }),
    }
}

/// Refuses a vocabulary that the texts could not fill.
fn check_full(config: &TokenizerConfig, got: usize, room: usize) -> Result<()> {
    if got >= room {
        return Ok(());
    }
    Err(TokenizerError::VocabularyTooLarge {
        asked: config.vocab_size.unwrap_or_default(),
        available: got + added_specials(config).len(),
    })
}

fn bpe_model(config: &TokenizerConfig, words: words::Words, watch: Watch<'_>) -> Result<ModelWrapper> {
    let mut alphabet = alphabet::bytes();
    alphabet.sort_unstable();
    let room = room(config, alphabet.len())?;
    let ids: HashMap<char, u32> = alphabet.iter().copied().zip(0..).collect();
    let words = words
        .into_iter()
        .map(|(word, count)| Word { symbols: word.chars().filter_map(|c| ids.get(&c).copied()).collect(), count })
        .collect();
    let limits = Limits { size: room, min_frequency: config.min_frequency };
    let symbols = alphabet.into_iter().map(String::from).collect();
    let learnt = learn(words, symbols, "", &limits, &mut |n| watch(Step::Merging, n))?;
    check_full(config, learnt.symbols.len(), room)?;
    let model = BPE::builder().vocab_and_merges(by_name(learnt.symbols), learnt.merges);
    Ok(model.build().map_err(TokenizerError::training)?.into())
}

fn wordpiece_model(config: &TokenizerConfig, words: words::Words, watch: Watch<'_>) -> Result<ModelWrapper> {
    let room = room(config, 3)?;
    // Each character may need two pieces, and half of the vocabulary is for longer ones.
    let characters = alphabet::frequent(&words, (room / 4).max(1));
    let mut symbols = vec![UNKNOWN.to_owned()];
    symbols.extend(characters.iter().map(char::to_string));
    symbols.extend(characters.iter().map(|c| format!("{CONTINUING}{c}")));
    let first: HashMap<char, u32> = characters.iter().copied().zip(1..).collect();
    let inner = characters.len() as u32;
    let symbols_of = |word: &str| -> Option<Vec<u32>> {
        let ids: Option<Vec<u32>> = word.chars().map(|c| first.get(&c).copied()).collect();
        let ids = ids?.into_iter().enumerate();
        Some(ids.map(|(at, id)| if at == 0 { id } else { id + inner }).collect())
    };
    // Words with a rare character are unknown as a whole, so nothing is learnt from them.
    let words =
        words.into_iter().filter_map(|(word, count)| symbols_of(word).map(|symbols| Word { symbols, count })).collect();
    let limits = Limits { size: room, min_frequency: config.min_frequency };
    let learnt = learn(words, symbols, CONTINUING, &limits, &mut |n| watch(Step::Merging, n))?;
    check_full(config, learnt.symbols.len(), room)?;
    let model = WordPiece::builder()
        .vocab(by_name(learnt.symbols))
        .unk_token(UNKNOWN.to_owned())
        .continuing_subword_prefix(CONTINUING.to_owned());
    Ok(model.build().map_err(TokenizerError::training)?.into())
}

fn unigram_model(config: &TokenizerConfig, words: &words::Words) -> Result<ModelWrapper> {
    let room = room(config, UNIGRAM_FIXED + 1)?;
    let learnt = unigram_pieces(config, words, room)?;
    if learnt.len() + UNIGRAM_FIXED < room {
        let available = unigram_available(config, words, learnt.len())?;
        check_full(config, available, room)?;
    }
    let mut vocabulary = vec![(UNKNOWN.to_owned(), 0.0)];
    vocabulary.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0)));
    vocabulary.extend(learnt);
    let model = Unigram::from(vocabulary, Some(0), true);
    Ok(model.map_err(TokenizerError::training)?.into())
}

/// At most as many pieces as have room beside the fixed ones.
fn unigram_pieces(config: &TokenizerConfig, words: &words::Words, room: usize) -> Result<Vec<unigram::Piece>> {
    let pieces = room.saturating_sub(UNIGRAM_FIXED).max(1);
    let characters = alphabet::frequent(words, (pieces * 3).div_ceil(4));
    let words = alphabet::restrict(words, &characters);
    unigram::learn(&words, pieces)
}

/// A size that the texts can fill, after one that they could not: a smaller vocabulary has fewer
/// characters, which may give fewer pieces, so it is tried again until a size is met.
fn unigram_available(config: &TokenizerConfig, words: &words::Words, mut pieces: usize) -> Result<usize> {
    while pieces > 1 {
        let got = unigram_pieces(config, words, pieces + UNIGRAM_FIXED)?.len();
        if got >= pieces {
            break;
        }
        pieces = got;
    }
    Ok(pieces + UNIGRAM_FIXED)
}

fn characters_model(texts: impl Iterator<Item = Result<String>>, watch: Watch<'_>) -> Result<ModelWrapper> {
    let mut characters: BTreeMap<char, ()> = BTreeMap::new();
    let mut done = 0;
    for text in texts {
        let text = text?;
        characters.extend(text.chars().map(|c| (c, ())));
        done += text.len() as u64;
        watch(Step::Counting, done)?;
    }
    if characters.is_empty() {
        return Err(TokenizerError::NoText);
    }
    let mut symbols = vec![UNKNOWN.to_owned()];
    symbols.extend(characters.into_keys().map(String::from));
    let model = BPE::builder().vocab_and_merges(by_name(symbols), Vec::new()).unk_token(UNKNOWN.to_owned());
    Ok(model.build().map_err(TokenizerError::training)?.into())
}

fn bytes_model() -> Result<ModelWrapper> {
    let symbols = alphabet::bytes().into_iter().map(String::from).collect();
    let model = BPE::builder().vocab_and_merges(by_name(symbols), Vec::new());
    Ok(model.build().map_err(TokenizerError::training)?.into())
}

fn by_name(symbols: Vec<String>) -> Vocab {
    symbols.into_iter().zip(0..).collect()
}

/// The special tokens that are not part of the model, so that it can't make them from text. Their ids
/// follow those of the model.
fn added_specials(config: &TokenizerConfig) -> Vec<&str> {
    let mut names = vec![END_OF_TEXT, PAD, TURN_START, TURN_END];
    for name in &config.special_tokens {
        if !names.contains(&name.as_str()) && name != UNKNOWN {
            names.push(name);
        }
    }
    names
}

fn has_unknown(config: &TokenizerConfig) -> bool {
    !matches!(config.algorithm, Algorithm::Bpe | Algorithm::Byte)
}

fn finish(
    config: &TokenizerConfig,
    template: Option<&str>,
    model: ModelWrapper,
    pipeline: Pipeline,
) -> Result<Tokenizer> {
    let mut plain = tokenizers::Tokenizer::new(model);
    plain.with_normalizer(pipeline.normalizer).map_err(TokenizerError::training)?;
    plain.with_pre_tokenizer(pipeline.pre_tokenizer);
    plain.with_decoder(Some(pipeline.decoder));
    let unknown = has_unknown(config).then_some(UNKNOWN);
    let specials = unknown.into_iter().chain(added_specials(config));
    plain.add_special_tokens(specials.map(|name| AddedToken::from(name, true))).map_err(TokenizerError::training)?;
    let settings = tokenizer_config(config);
    let template = template.map(|source| ChatTemplate::new(&config.chat_template, source, &settings)).transpose()?;
    Tokenizer::assemble(plain, settings, template).map_err(TokenizerError::training)
}

fn tokenizer_config(config: &TokenizerConfig) -> Map<String, Value> {
    let mut settings = Map::new();
    let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
    let named = [END_OF_TEXT, PAD, UNKNOWN];
    let extra: Vec<&str> = added_specials(config).into_iter().filter(|name| !named.contains(name)).collect();
    set("add_bos_token", json!(false));
    set("add_eos_token", json!(false));
    // transformers 5 takes this for its `extra_special_tokens`; 4 does not take a list under that name.
    set("additional_special_tokens", json!(extra));
    set("bos_token", json!(END_OF_TEXT));
    set("clean_up_tokenization_spaces", json!(false));
    set("eos_token", json!(END_OF_TEXT));
    set("model_max_length", json!(1_000_000_000_000_u64));
    set("pad_token", json!(PAD));
    set("tokenizer_class", json!("PreTrainedTokenizerFast"));
    if has_unknown(config) {
        set("unk_token", json!(UNKNOWN));
    }
    settings
}
