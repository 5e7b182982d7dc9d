//! The arguments of `inkstone word2vec`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct Word2Vec {
    #[command(subcommand)]
    pub(crate) what: Word2VecCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Word2VecCommand {
    /// Learn vectors from a text of a sentence a line
    #[command(
        after_help = "Examples:\n  inkstone word2vec train --text text8 --out vectors.bin\n  inkstone word2vec train --text zh.txt --han-apart --phrases 2 --out zh.bin\n  inkstone word2vec train --text news.txt --cbow --size 200 --format text --out news.txt.vec"
    )]
    Train(Box<TrainVectors>),
    /// Words nearest to a word, or to a sum of words
    #[command(
        after_help = "Examples:\n  inkstone word2vec neighbours -m vectors.bin king\n  inkstone word2vec neighbours -m vectors.bin king woman --minus man"
    )]
    Neighbours(Neighbours),
    /// Questions of the form “a is to b as c is to ?”, as in questions-words.txt and CA8
    #[command(after_help = "Example:\n  inkstone word2vec analogies -m vectors.bin --questions questions-words.txt")]
    Analogies(Analogies),
    /// Rank correlation with people's judgements of pairs of words
    #[command(after_help = "Example:\n  inkstone word2vec similarity -m vectors.bin --pairs wordsim353.tsv")]
    Similarity(Similarity),
    /// A picture of the most frequent words, as one HTML file
    #[command(after_help = "Example:\n  inkstone word2vec plot -m vectors.bin --out map.html")]
    Plot(Plot),
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct TrainVectors {
    /// A UTF-8 text, a sentence a line
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Where the vectors go
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The original program's binary or text format
    #[arg(long, default_value = "binary", value_parser = ["binary", "text"])]
    pub(crate) format: String,
    /// Predict the word in the middle from the mean of those around (default: skip-gram)
    #[arg(long)]
    pub(crate) cbow: bool,
    /// A Huffman tree in place of negative samples
    #[arg(long)]
    pub(crate) hierarchical_softmax: bool,
    /// Drawn words that a word is told from
    #[arg(long, default_value_t = 5, value_name = "N", conflicts_with = "hierarchical_softmax")]
    pub(crate) negatives: usize,
    /// Numbers in a vector
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub(crate) size: usize,
    /// Words looked at to each side at most
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) window: usize,
    /// Rarer words are passed over
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) min_count: u64,
    /// Share of the text above which words are thinned out (0: none)
    #[arg(long, default_value_t = 1e-3, value_name = "X")]
    pub(crate) sample: f64,
    /// Passes over the text
    #[arg(long, default_value_t = 5, value_name = "N")]
    pub(crate) epochs: u64,
    /// Learning rate at the start (default: 0.025, with --cbow 0.05)
    #[arg(long, value_name = "X")]
    pub(crate) learning_rate: Option<f64>,
    /// Same seed, same bytes
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) seed: u64,
    /// Every Han character is a word: for Chinese without spaces
    #[arg(long)]
    pub(crate) han_apart: bool,
    /// Passes that join words into phrases
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) phrases: usize,
    /// Score above which two words become a phrase
    #[arg(long, default_value_t = 100.0, value_name = "X")]
    pub(crate) phrase_threshold: f64,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Neighbours {
    /// A vectors file in either format, or an artifact
    #[arg(short, long, value_name = "VECTORS")]
    pub(crate) model: String,
    /// Words to add up
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    /// Words to subtract
    #[arg(long, value_name = "WORD")]
    pub(crate) minus: Vec<String>,
    /// How many
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub(crate) number: usize,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Analogies {
    /// A vectors file in either format, or an artifact
    #[arg(short, long, value_name = "VECTORS")]
    pub(crate) model: String,
    /// Lines of four words below lines `: section`
    #[arg(long, value_name = "FILE")]
    pub(crate) questions: PathBuf,
    /// Only the so many first words of the vectors (0: all)
    #[arg(long, default_value_t = 30_000, value_name = "N")]
    pub(crate) most_frequent: usize,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Similarity {
    /// A vectors file in either format, or an artifact
    #[arg(short, long, value_name = "VECTORS")]
    pub(crate) model: String,
    /// Lines of two words and a score
    #[arg(long, value_name = "FILE")]
    pub(crate) pairs: PathBuf,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Plot {
    /// A vectors file in either format, or an artifact
    #[arg(short, long, value_name = "VECTORS")]
    pub(crate) model: String,
    /// The HTML file
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Words, from the most frequent on
    #[arg(long, default_value_t = 400, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub(crate) words: u16,
    /// By the two directions of largest variance (default: t-SNE)
    #[arg(long)]
    pub(crate) pca: bool,
}
