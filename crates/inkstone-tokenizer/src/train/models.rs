//! The models of the `tokenizers` crate, filled with what was learnt.

use std::collections::{BTreeSet, HashMap};

use tokenizers::ModelWrapper;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;

use super::build::{Step, UNKNOWN, Watch, added_specials};
use super::config::{Algorithm, TokenizerConfig};
use super::merges::{Limits, Word, learn};
use super::{alphabet, unigram, words};
use crate::error::{Result, TokenizerError};

/// The unknown and the bytes, which every Unigram vocabulary has.
const UNIGRAM_FIXED: usize = 1 + 256;
/// What `WordPiece` pieces within a word begin with.
const CONTINUING: &str = "##";

pub(super) fn sized(config: &TokenizerConfig, words: words::Words, watch: Watch<'_>) -> Result<ModelWrapper> {
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
    // Each character takes two pieces, and half of the vocabulary is for longer ones.
    let characters = alphabet::frequent(&words, (room / 4).max(1));
    let mut symbols = vec![UNKNOWN.to_owned()];
    symbols.extend(characters.iter().map(char::to_string));
    symbols.extend(characters.iter().map(|c| format!("{CONTINUING}{c}")));
    let limits = Limits { size: room, min_frequency: config.min_frequency };
    let words = wordpiece_words(words, &characters);
    let learnt = learn(words, symbols, CONTINUING, &limits, &mut |n| watch(Step::Merging, n))?;
    check_full(config, learnt.symbols.len(), room)?;
    let model = WordPiece::builder()
        .vocab(by_name(learnt.symbols))
        .unk_token(UNKNOWN.to_owned())
        .continuing_subword_prefix(CONTINUING.to_owned());
    Ok(model.build().map_err(TokenizerError::training)?.into())
}

/// Words as symbols: 0 is the unknown, then come the characters at the beginning of a word, then
/// those within. Words with a rare character are unknown as a whole, so nothing is learnt from them.
fn wordpiece_words(words: words::Words, characters: &BTreeSet<char>) -> Vec<Word> {
    let ids: HashMap<char, u32> = characters.iter().copied().zip(1..).collect();
    let within = characters.len() as u32;
    let symbol = |(at, c): (usize, char)| {
        let id = ids.get(&c).copied()?;
        Some(if at == 0 { id } else { id + within })
    };
    words
        .into_iter()
        .filter_map(|(word, count)| {
            let symbols: Option<Vec<u32>> = word.chars().enumerate().map(symbol).collect();
            symbols.map(|symbols| Word { symbols, count })
        })
        .collect()
}

fn unigram_model(config: &TokenizerConfig, words: &words::Words) -> Result<ModelWrapper> {
    let room = room(config, UNIGRAM_FIXED + 1)?;
    let learnt = unigram_pieces(words, room)?;
    if learnt.len() + UNIGRAM_FIXED < room {
        let available = unigram_available(words, learnt.len())?;
        check_full(config, available, room)?;
    }
    let mut vocabulary = vec![(UNKNOWN.to_owned(), 0.0)];
    vocabulary.extend((0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), 0.0)));
    vocabulary.extend(learnt);
    let model = Unigram::from(vocabulary, Some(0), true);
    Ok(model.map_err(TokenizerError::training)?.into())
}

/// At most as many pieces as have room beside the fixed ones.
fn unigram_pieces(words: &words::Words, room: usize) -> Result<Vec<unigram::Piece>> {
    let pieces = room.saturating_sub(UNIGRAM_FIXED).max(1);
    let characters = alphabet::frequent(words, (pieces * 3).div_ceil(4));
    let words = alphabet::restrict(words, &characters);
    unigram::learn(&words, pieces)
}

/// A size that the texts can fill, after one that they could not: a smaller vocabulary has fewer
/// characters, which may give fewer pieces, so it is tried again until a size is met.
fn unigram_available(words: &words::Words, mut pieces: usize) -> Result<usize> {
    while pieces > 1 {
        let got = unigram_pieces(words, pieces + UNIGRAM_FIXED)?.len();
        if got >= pieces {
            break;
        }
        pieces = got;
    }
    Ok(pieces + UNIGRAM_FIXED)
}

pub(super) fn characters(texts: impl Iterator<Item = Result<String>>, watch: Watch<'_>) -> Result<ModelWrapper> {
    let mut characters = BTreeSet::new();
    let mut done = 0;
    for text in texts {
        let text = text?;
        characters.extend(text.chars());
        done += text.len() as u64;
        watch(Step::Counting, done)?;
    }
    if characters.is_empty() {
        return Err(TokenizerError::NoText);
    }
    let mut symbols = vec![UNKNOWN.to_owned()];
    symbols.extend(characters.into_iter().map(String::from));
    let model = BPE::builder().vocab_and_merges(by_name(symbols), Vec::new()).unk_token(UNKNOWN.to_owned());
    Ok(model.build().map_err(TokenizerError::training)?.into())
}

pub(super) fn bytes() -> Result<ModelWrapper> {
    let symbols = alphabet::bytes().into_iter().map(String::from).collect();
    let model = BPE::builder().vocab_and_merges(by_name(symbols), Vec::new());
    Ok(model.build().map_err(TokenizerError::training)?.into())
}

fn by_name(symbols: Vec<String>) -> Vocab {
    symbols.into_iter().zip(0..).collect()
}
