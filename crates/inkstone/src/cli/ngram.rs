//! `inkstone ngram …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct Ngram {
    #[command(subcommand)]
    pub(crate) what: NgramCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum NgramCommand {
    /// Count the n-grams of a text and smooth them into a language model
    #[command(
        after_help = "Examples:\n  inkstone ngram train --order 5 --text corpus.txt --out corpus.arpa\n  inkstone ngram train --text corpus.txt --out small.ngram --prune 0,0,1 --bits 8\n  inkstone ngram train --text poems.txt --unit characters --out poems.ngram"
    )]
    Train(Train),
    /// Turn an ARPA file into a binary model, or prune it
    #[command(
        after_help = "Example:\n  inkstone ngram build -m corpus.arpa --out corpus.ngram --structure trie --bits 8"
    )]
    Build(Build),
    /// Loss, perplexity and bits per byte on a text
    #[command(after_help = "Example:\n  inkstone ngram eval -m corpus.arpa --text held-out.txt --json")]
    Eval(EvalNgram),
    /// Which n-gram each word was found in, with counts, discounts and the back-off path
    #[command(after_help = "Example:\n  inkstone ngram explain -m corpus.arpa \"the cat sat\" --text corpus.txt")]
    Explain(Explain),
    /// Go on from a prompt, a sentence a line
    #[command(after_help = "Example:\n  inkstone ngram generate -m corpus.arpa --prompt \"the cat\" --sentences 5")]
    Generate(GenerateNgram),
    /// Find word classes (Brown et al. 1992) and what a model over them is worth
    #[command(
        after_help = "Example:\n  inkstone ngram classes --text corpus.txt --classes 100 --out classes.tsv --held-out held-out.txt"
    )]
    Classes(Classes),
}

/// How probability is moved to what was not seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SmoothingName {
    /// Interpolated modified Kneser-Ney
    ModifiedKneserNey,
    /// Interpolated Witten-Bell
    WittenBell,
    /// Interpolated absolute discounting
    AbsoluteDiscounting,
    /// k counts more for every word (--k)
    AddK,
    /// Good-Turing discounts and back-off
    Katz,
    /// A fixed weight for the shorter history (--k)
    StupidBackoff,
}

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum UnitName {
    /// What stands between white space; a line is a sentence
    Words,
    /// A character; a line is a sentence
    Characters,
    /// An id of a tokenizer (--tokenizer); the file is one sentence
    Tokens,
}

/// What a word is, where the model's file does not tell.
#[derive(Debug, Args)]
pub(crate) struct Words {
    /// What a word is (default: what the model says, else words)
    #[arg(long, value_enum, value_name = "UNIT")]
    pub(crate) unit: Option<UnitName>,
    /// Folder of the tokenizer, for --unit tokens
    #[arg(long, value_name = "DIR")]
    pub(crate) tokenizer: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Train {
    /// Words of the longest n-grams
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) order: usize,
    /// A UTF-8 text file, one sentence a line
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// .arpa: text that other programs read; else our binary form
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[arg(long, value_enum, default_value = "modified-kneser-ney", value_name = "NAME")]
    pub(crate) smoothing: SmoothingName,
    /// The number of add-k (default 0.1) or stupid-backoff (default 0.4)
    #[arg(long, value_name = "X")]
    pub(crate) k: Option<f64>,
    /// Memory for counting, e.g. 512M or 2G; past it, it goes on on disk
    #[arg(long, default_value = "256M", value_parser = bytes, value_name = "BYTES")]
    pub(crate) memory: usize,
    /// Leave out n-grams of order 1, 2, … that occur so often or less; the last number holds for longer ones
    #[arg(long, value_delimiter = ',', value_name = "0,0,1")]
    pub(crate) prune: Vec<u64>,
    /// Leave out n-grams without which the perplexity grows by less than this share, e.g. 1e-8
    #[arg(long, value_name = "X")]
    pub(crate) prune_entropy: Option<f64>,
    #[command(flatten)]
    pub(crate) words: Words,
    #[command(flatten)]
    pub(crate) form: Form,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

/// The binary form.
#[derive(Debug, Args)]
pub(crate) struct Form {
    /// Of the binary form: probing is fast, trie small
    #[arg(long, value_parser = ["probing", "trie"], default_value = "trie")]
    pub(crate) structure: String,
    /// Bits of a logarithm in a trie: 2 to 25, or 32 for all of it
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub(crate) bits: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// An ARPA file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// .arpa, or anything else for our binary form
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Leave out n-grams without which the perplexity grows by less than this share, e.g. 1e-8
    #[arg(long, value_name = "X")]
    pub(crate) prune_entropy: Option<f64>,
    #[command(flatten)]
    pub(crate) form: Form,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct EvalNgram {
    /// An ARPA file, a binary model, or the folder of an n-gram stage
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// A UTF-8 text file, one sentence a line
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Mix in a cache of recent words, with this weight
    #[arg(long, value_name = "0..1", value_parser = share)]
    pub(crate) cache: Option<f64>,
    /// Words of the cache
    #[arg(long, default_value_t = 500, value_name = "N")]
    pub(crate) cache_size: usize,
    #[command(flatten)]
    pub(crate) words: Words,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// An ARPA file, a binary model, or the folder of an n-gram stage
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// The sentence
    pub(crate) sentence: String,
    /// The text that the model was trained on: adds counts and discounts (of modified Kneser-Ney)
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) words: Words,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GenerateNgram {
    /// An ARPA file, a binary model, or the folder of an n-gram stage
    #[arg(short, long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// What to go on from
    #[arg(long, default_value = "")]
    pub(crate) prompt: String,
    /// Sentences
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) sentences: u64,
    /// Words of a sentence at most
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) max_words: usize,
    /// 0: always the most likely word
    #[arg(long, default_value_t = 1.0, value_name = "T")]
    pub(crate) temperature: f64,
    /// Keep the K most likely words
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Keep the most likely words that make up this share
    #[arg(long, value_name = "P")]
    pub(crate) top_p: Option<f64>,
    /// The same seed gives the same sentences
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) words: Words,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Classes {
    /// A UTF-8 text file, one sentence a line
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// How many
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) classes: usize,
    /// Words of the longest n-grams of classes
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) order: usize,
    /// Rounds over all words at most
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub(crate) rounds: usize,
    /// Where a line a word goes: class, word, occurrences
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// A text on which the model over classes is evaluated
    #[arg(long, value_name = "FILE")]
    pub(crate) held_out: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

/// `512M`, `2G`, `100000`.
fn bytes(text: &str) -> Result<usize, String> {
    let (digits, unit) = match text.trim_end_matches(['B', 'b']).char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    let n: Option<usize> = digits.trim().parse().ok();
    let bytes = n.and_then(|n| n.checked_mul(unit)).filter(|&bytes| bytes >= 1 << 20);
    bytes.ok_or_else(|| "a number of bytes, 1M at least, such as 512M or 2G".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok();
    share.filter(|share| (0.0..1.0).contains(share)).ok_or_else(|| "a number from 0 to below 1".to_owned())
}
