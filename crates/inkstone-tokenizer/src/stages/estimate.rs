//! What the stages of this crate will make and cost.
//!
//! The constants are processor seconds, measured over 1.3 MB of English and Chinese sentences and
//! 11 MB that also hold encyclopaedia and web texts, on a 2-core x86-64 server.

use std::collections::BTreeMap;

use inkstone_recipe::{Estimate, Forecast, Machine};

use super::TokensConfig;
use crate::train::{Algorithm, TokenizerConfig};

/// Counting words, on all threads, in seconds a byte.
const COUNTING: f64 = 0.32e-6;
/// Learning merges from the counts, on one thread, in seconds a byte.
const MERGING: f64 = 0.17e-6;
/// Learning Unigram pieces, on one thread, in seconds a byte.
const PRUNING: f64 = 3.2e-6;
/// Collecting characters, on one thread, in seconds a byte.
const CHARACTERS: f64 = 0.02e-6;
/// Encoding, on all threads, in seconds a byte.
const ENCODING: f64 = 0.31e-6;
/// Bytes of memory for each byte of text, where words are counted.
const MEMORY_PER_BYTE: f64 = 24.0;
/// Memory of the program, its buffers and a vocabulary, in bytes.
const MEMORY: f64 = 40e6;
/// The part of the corpus on which the bytes a token are measured.
const MEASURED_BYTES: f64 = 4e6;
/// Tokens that ChatML adds to a conversation of one question and one answer.
const CHAT_TOKENS: f64 = 10.0;
/// The share of a conversation that the assistant speaks.
const CHAT_LEARNT: f64 = 0.65;

fn metric(inputs: &BTreeMap<String, Forecast>, field: &str, name: &str) -> Option<f64> {
    inputs.get(field)?.metrics.get(name).copied()
}

fn threads(machine: &Machine) -> f64 {
    machine.threads.max(1) as f64
}

/// Bytes of UTF-8 a token, in English and Chinese.
fn bytes_per_token(algorithm: Algorithm, vocab_size: f64) -> f64 {
    let learnt = 1.0 + 0.75 * (vocab_size / 256.0).max(1.0).ln();
    match algorithm {
        Algorithm::Bpe => learnt,
        Algorithm::Unigram => 0.88 * learnt,
        Algorithm::Wordpiece => 2.9,
        Algorithm::Character => 1.6,
        Algorithm::Byte => 1.0,
    }
}

pub(super) fn tokenizer(config: &TokenizerConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
    let bytes = |field| metric(inputs, field, "train_bytes").unwrap_or(0.0);
    let all = bytes("from") + bytes("chat");
    let learnt = all.min(config.sample_bytes as f64);
    let spread = learnt * COUNTING / threads(machine);
    let learning = match config.algorithm {
        Algorithm::Bpe | Algorithm::Wordpiece => spread + learnt * MERGING,
        Algorithm::Unigram => spread + learnt * PRUNING,
        Algorithm::Character => all * CHARACTERS,
        Algorithm::Byte => 0.0,
    };
    let measuring = all.min(MEASURED_BYTES) * ENCODING / threads(machine);
    let counted = if config.is_sized() { learnt } else { 0.0 };
    let unsized_vocabulary = if config.algorithm == Algorithm::Byte { 260.0 } else { 4000.0 };
    let vocab_size = config.vocab_size.map_or(unsized_vocabulary, |size| size as f64);
    let ratio = bytes_per_token(config.algorithm, vocab_size);
    Estimate {
        seconds: Some(learning + measuring + 0.01),
        peak_bytes: Some((MEMORY + counted * MEMORY_PER_BYTE) as u64),
        bytes: Some((60.0 * vocab_size) as u64 + 4096),
        metrics: [("vocab_size", vocab_size), ("bytes_per_token", ratio)]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
        ..Estimate::default()
    }
}

pub(super) fn tokens(config: &TokensConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
    let vocab_size = metric(inputs, "tokenizer", "vocab_size").unwrap_or(8192.0);
    let ratio =
        metric(inputs, "tokenizer", "bytes_per_token").unwrap_or_else(|| bytes_per_token(Algorithm::Bpe, vocab_size));
    let is_chat = metric(inputs, "corpus", "conversations").is_some();
    let (added, learnt) = if is_chat { (CHAT_TOKENS, CHAT_LEARNT) } else { (0.0, 1.0) };
    let added = added + f64::from(u8::from(config.append_eos));
    let mut metrics = BTreeMap::new();
    let (mut all_bytes, mut all_tokens, mut all_documents) = (0.0, 0.0, 0.0);
    for split in ["train", "validation"] {
        let of = |name: &str| metric(inputs, "corpus", &format!("{split}_{name}")).unwrap_or(0.0);
        let (bytes, documents) = (of("bytes"), of("documents"));
        let tokens = (bytes / ratio + added * documents).round();
        metrics.insert(format!("{split}_bytes"), bytes);
        metrics.insert(format!("{split}_documents"), documents);
        metrics.insert(format!("{split}_tokens"), tokens);
        metrics.insert(format!("{split}_loss_tokens"), (tokens * learnt).round());
        all_bytes += bytes;
        all_tokens += tokens;
        all_documents += documents;
    }
    let width = if vocab_size <= 65_536.0 { 2.0 } else { 4.0 } + f64::from(u8::from(is_chat));
    Estimate {
        tokens: Some(all_tokens as u64),
        seconds: Some(all_bytes * ENCODING / threads(machine) + 0.05),
        peak_bytes: Some(MEMORY as u64 + 32 * (2 << 20)),
        bytes: Some((all_tokens * width + all_documents * 24.0) as u64),
        metrics,
        ..Estimate::default()
    }
}
