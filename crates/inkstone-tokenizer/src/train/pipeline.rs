//! What happens to a text before and after the model of each algorithm.

use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::sequence::Sequence as Decoders;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::normalizers::replace::Replace;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{
    DecoderWrapper, NormalizedString, Normalizer, NormalizerWrapper, OffsetReferential, OffsetType, PreTokenizedString,
    PreTokenizer, PreTokenizerWrapper, SplitDelimiterBehavior,
};

use super::config::{Algorithm, TokenizerConfig};
use crate::error::{Result, TokenizerError};

/// What stands for a space in Unigram pieces (SentencePiece's convention).
pub(super) const META: char = '▁';

/// Longer words are counted in parts of so many characters, so that one endless word does not stop
/// a trainer.
const MAX_WORD: usize = 128;

/// The steps around the model.
pub(super) struct Pipeline {
    pub normalizer: Option<NormalizerWrapper>,
    pub pre_tokenizer: Option<PreTokenizerWrapper>,
    pub decoder: DecoderWrapper,
}

/// Words: in turn English endings after an apostrophe, a run of Chinese characters, letters with at
/// most one space before, digits, other marks with at most one space before, line ends, white space
/// (the last of several belongs to the word after it). Runs of Chinese characters stay apart from
/// letters and from punctuation. The same in the syntax of the `regex`, `fancy-regex` and Oniguruma
/// engines.
fn words(split_digits: bool) -> String {
    let digits = if split_digits { r"\p{N}" } else { r"\p{N}{1,3}" };
    [
        r"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])",
        r"\p{Han}+",
        r" ?(?:[^\P{L}\p{Han}]|\p{M})+",
        digits,
        r" ?[^\s\p{L}\p{M}\p{N}][^\s\p{L}\p{N}]*[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
    .join("|")
}

impl Pipeline {
    pub(super) fn new(config: &TokenizerConfig) -> Result<Self> {
        let split = || -> Result<PreTokenizerWrapper> {
            let pattern = SplitPattern::Regex(words(config.split_digits));
            let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
            Ok(split.map_err(TokenizerError::training)?.into())
        };
        let bytes: PreTokenizerWrapper = ByteLevel::new(false, false, false).into();
        let sequence = |steps| Some(Sequence::new(steps).into());
        let (pre_tokenizer, decoder) = match config.algorithm {
            Algorithm::Bpe => (sequence(vec![split()?, bytes]), ByteLevel::default().into()),
            Algorithm::Byte => (Some(bytes), ByteLevel::default().into()),
            Algorithm::Character => (None, Fuse::new().into()),
            Algorithm::Unigram => {
                let spaces = Metaspace::new(META, PrependScheme::Never, false);
                (sequence(vec![split()?, spaces.into()]), unigram_decoder()?)
            }
            Algorithm::Wordpiece => {
                (Some(wordpiece_words(config.split_digits)), WordPieceDecoder::new("##".to_owned(), true).into())
            }
        };
        let bert = BertNormalizer::new(true, true, Some(false), false);
        let wordpiece = config.algorithm == Algorithm::Wordpiece;
        Ok(Self { normalizer: wordpiece.then(|| bert.into()), pre_tokenizer, decoder })
    }

    /// Calls `f` with each word of a text.
    pub(super) fn for_words(&self, text: &str, f: &mut dyn FnMut(&str)) -> Result<()> {
        let mut text = NormalizedString::from(text);
        if let Some(normalizer) = &self.normalizer {
            normalizer.normalize(&mut text).map_err(TokenizerError::training)?;
        }
        let mut words = PreTokenizedString::from(text);
        if let Some(pre_tokenizer) = &self.pre_tokenizer {
            pre_tokenizer.pre_tokenize(&mut words).map_err(TokenizerError::training)?;
        }
        for (word, _, _) in words.get_splits(OffsetReferential::Normalized, OffsetType::None) {
            for_parts(word, f);
        }
        Ok(())
    }
}

fn for_parts(word: &str, f: &mut dyn FnMut(&str)) {
    let mut rest = word;
    while let Some((at, _)) = rest.char_indices().nth(MAX_WORD) {
        let (part, after) = rest.split_at(at);
        f(part);
        rest = after;
    }
    if !rest.is_empty() {
        f(rest);
    }
}

fn wordpiece_words(split_digits: bool) -> PreTokenizerWrapper {
    if split_digits {
        let steps = vec![BertPreTokenizer.into(), Digits::new(true).into()];
        Sequence::new(steps).into()
    } else {
        BertPreTokenizer.into()
    }
}

fn unigram_decoder() -> Result<DecoderWrapper> {
    let spaces = Replace::new(META.to_string(), " ").map_err(TokenizerError::training)?;
    let steps = vec![spaces.into(), ByteFallback::new().into(), Fuse::new().into()];
    Ok(Decoders::new(steps).into())
}
