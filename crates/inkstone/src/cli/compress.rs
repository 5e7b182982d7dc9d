//! The arguments of `inkstone quantize`, `convert`, `bench decode` and `bench prefill`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How numbers become blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Method {
    /// Round each number to the nearest
    Nearest,
    /// As nearest; errors count more where inputs are large (needs --calibrate)
    Importance,
    /// Each error is made good by the numbers that come after it (needs --calibrate)
    Gptq,
    /// Weights that large inputs meet are made larger before they are rounded (needs --calibrate; llama, mistral, qwen2)
    Awq,
}

#[derive(Debug, Args)]
pub(crate) struct Quantize {
    /// A model folder, recipe/stage, or the beginning of an id
    pub(crate) model: String,
    /// Type of the weights
    #[arg(long, default_value = "q4_k", value_name = "TYPE", value_parser = ["f32", "f16", "bf16", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0"])]
    pub(crate) to: String,
    /// How numbers become blocks
    #[arg(long, value_enum, default_value_t = Method::Nearest)]
    pub(crate) method: Method,
    /// A UTF-8 text like those that the model will read
    #[arg(long, value_name = "FILE")]
    pub(crate) calibrate: Option<PathBuf>,
    /// Tokens of it that are read
    #[arg(long, default_value_t = 16_384, value_name = "N")]
    pub(crate) calibration_tokens: usize,
    /// Compare perplexity and predictions with the original's on this text
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Tokens of it that are read
    #[arg(long, default_value_t = 8192, value_name = "N")]
    pub(crate) text_tokens: usize,
    /// Where the GGUF file goes (default: the model's name and type, here)
    #[arg(short, long, value_name = "FILE.gguf")]
    pub(crate) output: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Convert {
    /// A model folder (or recipe/stage, or the beginning of an id), or a .gguf file
    pub(crate) model: String,
    /// A .gguf file, or a folder
    #[arg(short, long, value_name = "PATH")]
    pub(crate) output: PathBuf,
    /// Type of the weights in a GGUF file: f32, f16 or bf16 (blocks: inkstone quantize)
    #[arg(long, default_value = "f16", value_name = "TYPE")]
    pub(crate) to: String,
    /// For machines (of a folder that becomes a folder)
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchModel {
    /// A model folder, a .gguf file, recipe/stage, or the beginning of an id
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) model: String,
    /// Tokens (default: 128 to decode, 512 of a prompt)
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<usize>,
    /// To decode with tokens guessed ahead, beside plain decoding: `lookup`, or a smaller model of the same tokenizer
    #[arg(long, value_name = "MODEL", requires = "text")]
    pub(crate) draft: Option<String>,
    /// A UTF-8 text to go on from (with --draft)
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    /// Tokens that are guessed at a time (with --draft)
    #[arg(long, default_value_t = 4, value_name = "N")]
    pub(crate) guesses: usize,
    /// Times; the median counts (0: only the first token)
    #[arg(long, default_value_t = 3, value_name = "N")]
    pub(crate) turns: usize,
    /// For machines
    #[arg(long)]
    pub(crate) json: bool,
}
