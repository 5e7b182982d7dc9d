//! The table of a `tokenizer` stage.

use serde::{Deserialize, Serialize};

/// How a tokenizer cuts texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// Byte-pair merges over bytes (Sennrich et al. 2016; Radford et al. 2019). Loses nothing.
    #[default]
    Bpe,
    /// The likeliest pieces (Kudo 2018), with bytes for what no piece covers.
    Unigram,
    /// Longest known beginnings of words (Schuster and Nakajima 2012), as BERT has it. White space
    /// is not kept, and unseen characters are unknown.
    Wordpiece,
    /// Every character of the training split is a token; others are unknown.
    Character,
    /// The 256 bytes. Nothing is learnt, nothing is lost.
    Byte,
}

/// The table of a `tokenizer` stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerConfig {
    /// The `corpus` stage whose training split is learnt from.
    pub from: String,
    /// A `chat` stage whose messages are learnt from as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<String>,
    /// How texts are cut; `bpe`.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// Tokens, special ones included. Required, other than for `character` and `byte`, where the
    /// texts decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocab_size: Option<usize>,
    /// For `bpe` and `wordpiece`: pairs that occur less often are not merged; 2.
    #[serde(default = "two")]
    pub min_frequency: u64,
    /// Whether each digit is a token of its own, rather than up to three together; false.
    #[serde(default)]
    pub split_digits: bool,
    /// `chatml`, `none`, or the path of a Jinja file, relative to the recipe; `chatml`.
    #[serde(default = "chatml")]
    pub chat_template: String,
    /// Further special tokens, such as `<|tool|>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub special_tokens: Vec<String>,
    /// Tokens `<extra_id_0>`, `<extra_id_1>`, … that stand for spans which were taken out of a text (arXiv:1910.10683, section
    /// 3.1.4); 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub sentinels: usize,
    /// Of a larger corpus an evenly drawn sample of about so many bytes is learnt from, which takes
    /// some 24 times its size in memory; 32 MiB.
    /// (`character` reads everything.)
    #[serde(default = "thirty_two_mebibytes")]
    pub sample_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn two() -> u64 {
    2
}

fn chatml() -> String {
    "chatml".to_owned()
}

fn thirty_two_mebibytes() -> u64 {
    32 << 20
}

/// The most that may be sampled: counts of characters stay below 2^32.
const MAX_SAMPLE_BYTES: u64 = 256 << 20;
/// More spans no row of a sensible length has.
const MAX_SENTINELS: usize = 10_000;
/// More tokens no trainer here would give in sensible time.
const MAX_VOCAB_SIZE: usize = 1 << 20;

impl TokenizerConfig {
    /// The defaults for an algorithm.
    pub fn new(from: &str, algorithm: Algorithm, vocab_size: Option<usize>) -> Self {
        Self {
            from: from.to_owned(),
            chat: None,
            algorithm,
            vocab_size,
            min_frequency: two(),
            split_digits: false,
            chat_template: chatml(),
            special_tokens: Vec::new(),
            sentinels: 0,
            sample_bytes: thirty_two_mebibytes(),
        }
    }

    /// Whether the vocabulary is learnt up to a size.
    pub(crate) fn is_sized(&self) -> bool {
        !matches!(self.algorithm, Algorithm::Character | Algorithm::Byte)
    }

    /// Refuses what can't work, beginning with the field's name.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self.vocab_size {
            None if self.is_sized() => {
                return Err("`vocab_size` is required, e.g. `vocab_size = 8192`".to_owned());
            }
            Some(_) if !self.is_sized() => {
                return Err("`vocab_size` is decided by the texts for this `algorithm`; leave it out".to_owned());
            }
            Some(size) if !(1..=MAX_VOCAB_SIZE).contains(&size) => {
                return Err(format!("`vocab_size` must be between 1 and {MAX_VOCAB_SIZE}"));
            }
            _ => {}
        }
        if self.min_frequency == 0 {
            return Err("`min_frequency` must be at least 1".to_owned());
        }
        if !(1..=MAX_SAMPLE_BYTES).contains(&self.sample_bytes) {
            return Err(format!("`sample_bytes` must be between 1 and {MAX_SAMPLE_BYTES} (256 MiB)"));
        }
        if self.sentinels > MAX_SENTINELS {
            return Err(format!("`sentinels` must be at most {MAX_SENTINELS}"));
        }
        self.special_tokens.iter().try_for_each(|token| check_special(token))
    }
}

/// A special token is no piece of ordinary text if it begins and ends with a punctuation mark and
/// has a letter or digit between: no algorithm here makes such a piece.
fn check_special(token: &str) -> Result<(), String> {
    let mark = |c: Option<char>| c.is_some_and(|c| c.is_ascii_punctuation());
    let plain = |c: char| !c.is_whitespace() && !c.is_control();
    let apart = mark(token.chars().next()) && mark(token.chars().next_back()) && token.contains(char::is_alphanumeric);
    if apart && token.chars().all(plain) {
        return Ok(());
    }
    Err(format!("`special_tokens`: `{token}` could be a piece of ordinary text; write it like `<|name|>`"))
}
