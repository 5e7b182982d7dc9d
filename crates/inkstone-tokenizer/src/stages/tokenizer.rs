//! The `tokenizer` stage: texts in, a tokenizer out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use inkstone_corpus::chat::read_conversations;
use inkstone_corpus::{Split, read_documents};
use inkstone_recipe::{Context, Estimate, Forecast, Input, Machine, Metrics, Stage, StageError, Task};
use serde_json::json;

use crate::chat::CHATML;
use crate::error::{Result, TokenizerError};
use crate::folder::read;
use crate::tokenizer::Tokenizer;
use crate::train::{Step, TokenizerConfig, train_watched};

/// Trains a tokenizer; see [`TokenizerConfig`].
#[derive(Debug)]
pub struct TokenizerStage;

/// Bytes on which the bytes a token are measured.
const MEASURED_BYTES: usize = 4 << 20;
const MAX_TEMPLATE_BYTES: u64 = 4 << 20;

impl Stage for TokenizerStage {
    type Config = TokenizerConfig;

    const KIND: &'static str = "tokenizer";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "learns how to cut texts into tokens";

    fn validate(config: &TokenizerConfig) -> Result<(), String> {
        config.check()
    }

    fn inputs(config: &TokenizerConfig) -> Vec<Input> {
        let input = |field, stage: &String, kinds| Input { field, stage: stage.clone(), kinds };
        let chat = config.chat.iter().map(|stage| input("chat", stage, &["chat"]));
        std::iter::once(input("from", &config.from, &["corpus", "examples"])).chain(chat).collect()
    }

    fn sources(config: &TokenizerConfig, base: &Path) -> Result<Vec<PathBuf>, StageError> {
        match config.chat_template.as_str() {
            "chatml" | "none" => Ok(Vec::new()),
            path => Ok(vec![base.join(path)]),
        }
    }

    fn estimate(config: &TokenizerConfig, inputs: &BTreeMap<String, Forecast>, machine: &Machine) -> Estimate {
        super::estimate::tokenizer(config, inputs, machine)
    }

    fn run(config: &TokenizerConfig, context: &Context<'_>) -> Result<Metrics, StageError> {
        let template = template(config, &context.base)?;
        let reading = context.progress.task("counting words", None, "B");
        let learning = std::cell::OnceCell::<Box<dyn Task>>::new();
        let size = config.vocab_size.map(|size| size as u64);
        let mut watch = |step: Step, done: u64| {
            match step {
                Step::Counting => reading.set(done),
                Step::Merging => {
                    learning.get_or_init(|| context.progress.task("learning merges", size, "tokens")).set(done);
                }
            }
            check(context)
        };
        let texts = sample(config, context)?;
        let tokenizer = train_watched(config, template.as_deref(), texts, &mut watch)?;
        tokenizer.save(context.out())?;
        Ok(metrics(&tokenizer, measure(&tokenizer, context)?))
    }
}

fn check(context: &Context<'_>) -> Result<()> {
    if context.interrupt.requested() {
        return Err(TokenizerError::Interrupted);
    }
    Ok(())
}

/// The source of the chat template.
fn template(config: &TokenizerConfig, base: &Path) -> Result<Option<String>> {
    match config.chat_template.as_str() {
        "none" => Ok(None),
        "chatml" => Ok(Some(CHATML.to_owned())),
        path => {
            let path = base.join(path);
            let source = String::from_utf8(read(&path, MAX_TEMPLATE_BYTES)?);
            source.map(Some).map_err(|_| TokenizerError::malformed(&path, "not UTF-8"))
        }
    }
}

/// Texts of a training split.
type Texts = Box<dyn Iterator<Item = Result<String>>>;

/// The texts that are learnt from. Ids are hashes, so those below a bound are an evenly drawn sample.
fn sample(config: &TokenizerConfig, context: &Context<'_>) -> Result<Texts> {
    let fields = if config.chat.is_some() { &["from", "chat"][..] } else { &["from"] };
    let bytes = |field: &&str| {
        let metric = context.input(field).manifest.metrics.get("train_bytes");
        metric.and_then(serde_json::Value::as_f64).unwrap_or(0.0)
    };
    let total: f64 = fields.iter().map(bytes).sum();
    let share = config.sample_bytes as f64 / total.max(1.0);
    let all = share >= 1.0 || !config.is_sized();
    let bound = if all { u128::MAX } else { (share * u128::MAX as f64) as u128 };
    let corpus = documents(&context.input("from").folder, bound)?;
    if config.chat.is_none() {
        return Ok(corpus);
    }
    let chat = messages(&context.input("chat").folder, bound)?;
    Ok(Box::new(corpus.chain(chat)))
}

fn documents(folder: &Path, bound: u128) -> Result<Texts> {
    let documents = read_documents(folder, Split::Train)?;
    Ok(Box::new(documents.filter_map(move |document| match document {
        Ok(document) => (document.id.0 <= bound).then_some(Ok(document.text)),
        Err(error) => Some(Err(error.into())),
    })))
}

fn messages(folder: &Path, bound: u128) -> Result<Texts> {
    let conversations = read_conversations(folder, Split::Train)?;
    Ok(Box::new(conversations.flat_map(move |conversation| match conversation {
        Ok(conversation) if conversation.id.0 > bound => Vec::new(),
        Ok(conversation) => conversation.messages.into_iter().map(|m| Ok(m.content)).collect(),
        Err(error) => vec![Err(error.into())],
    })))
}

/// Bytes and tokens of the first part of the training split.
fn measure(tokenizer: &Tokenizer, context: &Context<'_>) -> Result<(usize, usize)> {
    let (mut texts, mut bytes) = (Vec::new(), 0);
    for text in documents(&context.input("from").folder, u128::MAX)? {
        let text = text?;
        bytes += text.len();
        texts.push(text);
        if bytes >= MEASURED_BYTES {
            break;
        }
    }
    let tokens = tokenizer.encode_batch(&texts)?.iter().map(Vec::len).sum();
    Ok((bytes, tokens))
}

fn metrics(tokenizer: &Tokenizer, (bytes, tokens): (usize, usize)) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("vocab_size".to_owned(), json!(tokenizer.vocab_size()));
    let ratio = bytes as f64 / tokens.max(1) as f64;
    metrics.insert("bytes_per_token".to_owned(), json!(ratio));
    metrics
}
