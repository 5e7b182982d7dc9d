//! The `tokens` stage: documents or conversations in, token shards out.

use std::collections::BTreeMap;

use inkstone_corpus::chat::{Conversation, Message, RATIONALE, Role, read_conversations};
use inkstone_corpus::shards::{ShardOptions, ShardSummary, ShardWriter};
use inkstone_corpus::{CorpusError, Document, DocumentId, Split, read_documents};
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{Result, TokenizerError};
use crate::tokenizer::Tokenizer;

/// Turns a corpus into token shards; see [`TokensConfig`].
#[derive(Debug)]
pub struct TokensStage;

/// The table of a `tokens` stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensConfig {
    /// A `corpus` or `chat` stage.
    pub corpus: String,
    /// A stage with a tokenizer in its folder.
    pub tokenizer: String,
    /// Whether each document ends with the end-of-document token; true. In conversations that token
    /// is not learnt: the assistant's turn has an end of its own.
    #[serde(default = "yes")]
    pub append_eos: bool,
    /// For conversations: longer ones lose turns from their end, down to the first answer. Tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<usize>,
    /// For conversations whose last answer has a rationale: whether that is learnt, too, or only what comes of it; true.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub loss_on_rationale: bool,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_yes(value: &bool) -> bool {
    *value
}

/// Bytes of text that are encoded at once.
const BATCH_BYTES: usize = 2 << 20;

impl Stage for TokensStage {
    type Config = TokensConfig;

    const KIND: &'static str = "tokens";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "turns documents into tokens";

    fn validate(config: &TokensConfig) -> Result<(), String> {
        match config.context {
            Some(0 | 1) => Err("`context` must be at least 2 tokens".to_owned()),
            _ => Ok(()),
        }
    }

    fn inputs(config: &TokensConfig) -> Vec<Input> {
        let input = |field, stage: &str, kinds| Input { field, stage: stage.to_owned(), kinds };
        vec![
            input("corpus", &config.corpus, &["corpus", "examples", "chat"]),
            input("tokenizer", &config.tokenizer, super::TOKENIZERS),
        ]
    }

    fn estimate(config: &TokensConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        super::estimate::tokens(config, inputs, machine)
    }

    fn run(config: &TokensConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let corpus = context.input("corpus");
        let is_chat = corpus.manifest.kind == "chat";
        if config.context.is_some() && !is_chat {
            return Err(StageError::failed(
                "`context` cuts conversations, and this corpus has none",
                "leave `context` out",
            ));
        }
        let tokenizer = Tokenizer::load(&context.input("tokenizer").folder)?;
        let job = Job { end: end_token(config, &tokenizer)?, tokenizer: &tokenizer, config, context };
        let mut metrics = Metrics::new();
        let (mut cut, mut lengths) = (0, Vec::new());
        for split in Split::ALL {
            let totals = if is_chat {
                let conversations = read_conversations(&corpus.folder, split)?;
                job.run(split, conversations)?
            } else {
                job.run(split, read_documents(&corpus.folder, split)?)?
            };
            cut += totals.cut;
            add_metrics(&mut metrics, split, &totals);
            lengths.extend(totals.lengths);
        }
        if is_chat {
            metrics.insert("cut_conversations".to_owned(), json!(cut));
            add_lengths(&mut metrics, lengths);
        }
        Ok(metrics)
    }
}

fn end_token(config: &TokensConfig, tokenizer: &Tokenizer) -> Result<Option<u32>, StageError> {
    match tokenizer.eos() {
        None if config.append_eos => {
            Err(StageError::failed("the tokenizer has no end-of-document token", "set `append_eos = false`"))
        }
        eos => Ok(eos.filter(|_| config.append_eos)),
    }
}

/// What is turned into tokens.
trait Item: Send + Sync {
    const MASKED: bool;
    fn id(&self) -> DocumentId;
    fn bytes(&self) -> usize;
    fn encode(&self, job: &Job<'_>) -> Result<Encoded>;

    /// How a message names it.
    fn place(&self) -> String {
        format!("document {}", self.id())
    }
}

/// An item's tokens.
struct Encoded {
    ids: Vec<u32>,
    mask: Option<Vec<bool>>,
    cut: bool,
}

impl Item for Document {
    const MASKED: bool = false;

    fn id(&self) -> DocumentId {
        self.id
    }

    fn bytes(&self) -> usize {
        self.text.len()
    }

    fn encode(&self, job: &Job<'_>) -> Result<Encoded> {
        let mut ids = job.tokenizer.encode(&self.text)?;
        ids.extend(job.end);
        Ok(Encoded { ids, mask: None, cut: false })
    }
}

impl Item for Conversation {
    const MASKED: bool = true;

    fn id(&self) -> DocumentId {
        self.id
    }

    fn bytes(&self) -> usize {
        self.messages.iter().map(|message| message.content.len()).sum()
    }

    fn place(&self) -> String {
        let said = |key: &str| self.meta.get(key).filter(|value| !value.is_null());
        match (said("source").and_then(serde_json::Value::as_str), said("line")) {
            (Some(source), Some(line)) => format!("{source}:{line}"),
            _ => format!("conversation {}", self.id),
        }
    }

    fn encode(&self, job: &Job<'_>) -> Result<Encoded> {
        let (mut ids, mut mask) = job.tokenizer.encode_training_behind(&self.messages, passed(self, job.config))?;
        let room =
            job.config.context.map_or(usize::MAX, |context| context.saturating_sub(usize::from(job.end.is_some())));
        let mut turns: &[Message] = &self.messages;
        let mut cut = false;
        while ids.len() > room {
            let Some(shorter) = without_last_exchange(turns) else {
                break;
            };
            turns = shorter;
            (ids, mask) = job.tokenizer.encode_training(turns)?;
            cut = true;
        }
        ids.extend(job.end);
        mask.resize(ids.len(), false);
        Ok(Encoded { ids, mask: Some(mask), cut })
    }
}

/// Bytes of the last answer that are not learnt.
fn passed(conversation: &Conversation, config: &TokensConfig) -> usize {
    let rationale = conversation.meta.get(RATIONALE).and_then(serde_json::Value::as_u64).unwrap_or(0);
    if config.loss_on_rationale { 0 } else { usize::try_from(rationale).unwrap_or(0) }
}

/// The turns up to the last answer but one.
fn without_last_exchange(turns: &[Message]) -> Option<&[Message]> {
    let answers = turns.iter().enumerate().rev();
    let mut answers = answers.filter(|(_, turn)| turn.role == Role::Assistant);
    let (last, _) = answers.nth(1)?;
    Some(&turns[..=last])
}

/// The work on all splits.
struct Job<'a> {
    tokenizer: &'a Tokenizer,
    config: &'a TokensConfig,
    context: &'a Context<'a>,
    end: Option<u32>,
}

/// What a split came to.
struct Totals {
    summary: ShardSummary,
    bytes: u64,
    cut: u64,
    /// Tokens of each conversation.
    lengths: Vec<u32>,
}

impl Job<'_> {
    fn run<T: Item>(
        &self,
        split: Split,
        items: impl Iterator<Item = Result<T, CorpusError>>,
    ) -> Result<Totals, StageError> {
        let options = ShardOptions { vocab_size: self.tokenizer.vocab_size(), masked: T::MASKED };
        let writer = ShardWriter::create(self.context.out(), split, options)?;
        let mut shard = Shard { writer, bytes: 0, cut: 0, lengths: Vec::new() };
        let total = self.context.input("corpus").manifest.metrics.get(&format!("{}_bytes", split.name()));
        let name = format!("encoding {}", split.name());
        let task = self.context.progress.task(&name, total.and_then(serde_json::Value::as_u64), "B");
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for item in items {
            let item = item?;
            bytes += item.bytes();
            batch.push(item);
            if bytes >= BATCH_BYTES {
                shard.push(self, &batch)?;
                task.set(shard.bytes);
                self.context.check_interrupt()?;
                batch.clear();
                bytes = 0;
            }
        }
        shard.push(self, &batch)?;
        let Shard { writer, bytes, cut, lengths } = shard;
        Ok(Totals { summary: writer.finish()?, bytes, cut, lengths })
    }
}

/// A shard that is being written.
struct Shard {
    writer: ShardWriter,
    bytes: u64,
    cut: u64,
    lengths: Vec<u32>,
}

impl Shard {
    /// Encodes on all threads and writes in order.
    fn push<T: Item>(&mut self, job: &Job<'_>, batch: &[T]) -> Result<(), StageError> {
        let encoded: Vec<Result<Encoded>> = batch.par_iter().map(|item| item.encode(job)).collect();
        for (item, encoded) in batch.iter().zip(encoded) {
            let encoded = encoded.map_err(|error| of_document(&item.place(), error))?;
            let mask = encoded.mask.as_deref();
            self.writer.push(item.id(), &encoded.ids, mask)?;
            self.bytes += item.bytes() as u64;
            self.cut += u64::from(encoded.cut);
            self.lengths.extend(T::MASKED.then(|| u32::try_from(encoded.ids.len()).unwrap_or(u32::MAX)));
        }
        Ok(())
    }
}

/// An error with the document that it came from.
fn of_document(place: &str, error: TokenizerError) -> StageError {
    let hint = error.hint();
    StageError::Failed { message: format!("{place}: {error}"), hint, source: Some(Box::new(error)) }
}

/// How long conversations are: the mean, and the lengths that a half, nine tenths and 99 of 100 don't exceed.
fn add_lengths(metrics: &mut Metrics, mut lengths: Vec<u32>) {
    lengths.sort_unstable();
    let Some(last) = lengths.len().checked_sub(1) else { return };
    let mean = lengths.iter().map(|&length| f64::from(length)).sum::<f64>() / lengths.len() as f64;
    metrics.insert("length_mean".to_owned(), json!(mean));
    for (name, share) in [("length_50", 0.5), ("length_90", 0.9), ("length_99", 0.99)] {
        metrics.insert(name.to_owned(), json!(lengths[(share * last as f64).ceil() as usize]));
    }
}

fn add_metrics(metrics: &mut Metrics, split: Split, totals: &Totals) {
    let mut add = |name: &str, value: u64| {
        metrics.insert(format!("{}_{name}", split.name()), json!(value));
    };
    add("tokens", totals.summary.tokens);
    add("documents", totals.summary.documents);
    add("bytes", totals.bytes);
    add("loss_tokens", totals.summary.loss_tokens);
    let longest = metrics.get("longest_document").and_then(serde_json::Value::as_u64);
    let longest = longest.unwrap_or(0).max(totals.summary.longest_document);
    metrics.insert("longest_document".to_owned(), json!(longest));
}
