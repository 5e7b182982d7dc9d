//! `inkstone new`: a commented recipe fitted to the size of the texts.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use inkstone_recipe::fs::IoError;

use crate::cli::New;
use crate::hint::hinted;
use crate::machine;
use crate::printer::{Printer, bytes, duration, short};

/// Endings of files that the corpus stage reads.
const ENDINGS: [&str; 10] = ["txt", "md", "jsonl", "json", "csv", "tsv", "parquet", "gz", "zst", "text"];
/// Bytes that one token of a byte-pair tokenizer stands for, in English and in Chinese text, roughly.
const BYTES_PER_TOKEN: f64 = 3.5;
/// Tokens per parameter (Hoffmann et al. 2022, arXiv:2203.15556).
const TOKENS_PER_PARAMETER: f64 = 20.0;
/// Passes over the texts that are nearly as good as new text (Muennighoff et al. 2023, arXiv:2305.16264).
const PASSES: f64 = 4.0;
/// Share of the measured matrix-product rate that training reaches.
const EFFICIENCY: f64 = 0.5;

pub(crate) fn new(args: &New, printer: &Printer) -> anyhow::Result<ExitCode> {
    let file = format!("{}.toml", args.name);
    if args.name.is_empty() || args.name.starts_with('.') || args.name.contains(['/', '\\', '"']) {
        return Err(hinted(
            format!("{:?} can't be a recipe's name", args.name),
            "give a name such as my-domain; the recipe is written to my-domain.toml in this folder",
        ));
    }
    if Path::new(&file).exists() && !args.force {
        return Err(hinted(format!("{file} is there already"), "choose another name, or give --force to replace it"));
    }
    let texts = args.texts.canonicalize().map_err(IoError::at("read", &args.texts))?;
    let Texts { files, bytes: size } = texts_below(&texts)?;
    if size < MIN_BYTES {
        return Err(hinted(
            format!("{} has {} of text, too little to learn from", texts.display(), bytes(size)),
            format!("give at least {} in files that end in {}", bytes(MIN_BYTES), ENDINGS.join(", ")),
        ));
    }
    let fit = Fit::of(size, args.hours, machine::measured().flops_per_second);
    inkstone_recipe::fs::write_atomic(Path::new(&file), fit.recipe(&args.name, &texts, files).as_bytes())?;
    printer.data(&file)?;
    printer.talk(&format!(
        "{} of text: {} parameters, {} steps, about {}\n\nNext:  inkstone plan {file}\n       inkstone run {file}",
        bytes(size),
        short(fit.parameters()),
        fit.steps,
        duration(fit.seconds)
    ));
    Ok(ExitCode::SUCCESS)
}

/// Less text than this teaches nothing.
const MIN_BYTES: u64 = 20_000;

/// How much text there is.
#[derive(Default)]
struct Texts {
    files: u64,
    /// Packed files are counted four times, as text packs about so well.
    bytes: u64,
}

/// All readable files below a path.
fn texts_below(path: &Path) -> anyhow::Result<Texts> {
    let metadata = std::fs::metadata(path).with_context(|| format!("reading {}", path.display()))?;
    if metadata.is_file() {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        let factor = if matches!(ending, "gz" | "zst" | "parquet") { 4 } else { 1 };
        let readable = ENDINGS.contains(&ending);
        return Ok(if readable { Texts { files: 1, bytes: metadata.len() * factor } } else { Texts::default() });
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("reading {}", path.display()))?;
    entries.into_iter().try_fold(Texts::default(), |sum, entry| {
        let below = texts_below(&entry?.path())?;
        Ok(Texts { files: sum.files + below.files, bytes: sum.bytes + below.bytes })
    })
}

/// Fewer files than this are cut into paragraphs, so that there are documents to keep back.
const FEW_FILES: u64 = 50;

/// A model and a training that fit the texts and the time.
struct Fit {
    bytes: u64,
    vocabulary: usize,
    width: usize,
    layers: usize,
    context: usize,
    batch: usize,
    steps: u64,
    tokens: f64,
    seconds: f64,
}

impl Fit {
    fn of(bytes: u64, hours: f64, flops_per_second: f64) -> Self {
        let unique = bytes as f64 / BYTES_PER_TOKEN;
        // Time allows 6 · N · T = rate · seconds, with T = 20 · N.
        let affordable = (flops_per_second * EFFICIENCY * hours * 3600.0 / (6.0 * TOKENS_PER_PARAMETER)).sqrt();
        let parameters = (unique * PASSES / TOKENS_PER_PARAMETER).min(affordable).max(2e5);
        let vocabulary = ((bytes as f64).sqrt() as usize).clamp(512, 32_000).next_multiple_of(64);
        let (width, layers) = shape(parameters, vocabulary);
        let context = if bytes < 1_000_000 { 128 } else { 256 };
        let mut fit = Self { bytes, vocabulary, width, layers, context, batch: 8, steps: 0, tokens: 0.0, seconds: 0.0 };
        fit.tokens = (unique * PASSES).min(fit.parameters() * TOKENS_PER_PARAMETER);
        fit.steps = ((fit.tokens / (fit.batch * fit.context) as f64).ceil() as u64).max(100);
        fit.seconds = 6.0 * fit.parameters() * fit.steps as f64 * (fit.batch * fit.context) as f64
            / (flops_per_second * EFFICIENCY);
        fit
    }

    /// Twelve squares of the width for each layer, and the embedding.
    fn parameters(&self) -> f64 {
        (12 * self.layers * self.width * self.width + self.vocabulary * self.width) as f64
    }

    fn recipe(&self, name: &str, texts: &Path, files: u64) -> String {
        let Self { vocabulary, width, layers, context, batch, steps, .. } = self;
        let heads = (width / 32).max(1);
        let (every, warmup) = ((steps / 10).max(10), (steps / 20).clamp(10, 1000));
        format!(
            "# A language model of the texts in {folder}.
name = {name:?}
seed = 1

[corpus]
kind = \"corpus\"
paths = [{folder:?}]
# text = \"text\"          # the key of the text in JSON, CSV and Parquet records
document = {document:?}    # what a document is in plain text: a whole \"file\", a \"paragraph\" or a \"line\"
validation = 0.05        # share of documents kept back for the validation loss

# {size} of text; the vocabulary is the square root of the bytes, from 512 to 32,000.
[tokenizer]
kind = \"tokenizer\"
from = \"corpus\"
algorithm = \"bpe\"
vocab_size = {vocabulary}

# Tokens: {size} / {BYTES_PER_TOKEN} bytes a token x {PASSES} passes (arXiv:2305.16264) = {all}.
# Parameters: tokens / {TOKENS_PER_PARAMETER} (arXiv:2203.15556), within the time: 12 x layers x width^2 + vocabulary x width = {parameters}.
# Steps: {tokens} tokens / ({batch} rows x {context} tokens) = {steps}.
[model]
kind = \"pretrain\"
corpus = \"corpus\"
tokenizer = \"tokenizer\"
model = {{ architecture = \"llama\", hidden_size = {width}, num_hidden_layers = {layers}, num_attention_heads = {heads} }}
steps = {steps}
batch_size = {batch}
context = {context}
optimizer = {{ learning_rate = {rate} }}
schedule = {{ kind = \"cosine\", warmup = {warmup} }}
evaluate_every = {every}
checkpoint_every = {every}
",
            document = if files < FEW_FILES { "paragraph" } else { "file" },
            folder = texts.display().to_string(),
            size = bytes(self.bytes),
            all = short(self.bytes as f64 / BYTES_PER_TOKEN * PASSES),
            parameters = short(self.parameters()),
            tokens = short(self.tokens),
            rate = if *width >= 512 { "6e-4" } else { "1e-3" },
        )
    }
}

/// Width (a multiple of 32) and layers, about 1 to 48, that come nearest to a number of parameters from below.
fn shape(parameters: f64, vocabulary: usize) -> (usize, usize) {
    let count = |width: usize, layers: usize| (12 * layers * width * width + vocabulary * width) as f64;
    let layers = |width: usize| (width / 48).clamp(2, 32);
    let width =
        (2..=64).map(|n| n * 32).take_while(|&width| count(width, layers(width)) <= parameters).last().unwrap_or(64);
    (width, layers(width))
}
