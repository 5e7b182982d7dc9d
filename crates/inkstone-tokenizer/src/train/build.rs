//! From settings and texts to a tokenizer.

use serde_json::{Map, Value, json};
use tokenizers::{AddedToken, ModelWrapper};

use super::config::{Algorithm, TokenizerConfig};
use super::pipeline::Pipeline;
use super::{models, words};
use crate::chat::ChatTemplate;
use crate::error::{Result, TokenizerError};
use crate::tokenizer::Tokenizer;

/// The end of a document, also the beginning of a text.
const END_OF_TEXT: &str = "<|endoftext|>";
const PAD: &str = "<|pad|>";
const TURN_START: &str = "<|im_start|>";
const TURN_END: &str = "<|im_end|>";
pub(super) const UNKNOWN: &str = "<|unk|>";

/// What is told of the work: what is being done, and how far it is (bytes read, or tokens made).
pub(crate) type Watch<'a> = &'a mut dyn FnMut(Step, u64) -> Result<()>;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Texts are read; in bytes.
    Counting,
    /// The vocabulary grows; in tokens.
    Merging,
}

pub(super) fn train(
    config: &TokenizerConfig,
    template: Option<&str>,
    texts: impl Iterator<Item = Result<String>>,
    watch: Watch<'_>,
) -> Result<Tokenizer> {
    config.check().map_err(TokenizerError::training)?;
    let pipeline = Pipeline::new(config)?;
    let model = match config.algorithm {
        Algorithm::Byte => models::bytes()?,
        Algorithm::Character => models::characters(texts, watch)?,
        _ => {
            let words = words::count(&pipeline, texts, &mut |done| watch(Step::Counting, done))?;
            if words.is_empty() {
                return Err(TokenizerError::NoText);
            }
            models::sized(config, words, watch)?
        }
    };
    finish(config, template, model, pipeline)
}

/// The special tokens that are not part of the model, so that it can't make them from text. Their ids
/// follow those of the model.
pub(super) fn added_specials(config: &TokenizerConfig) -> Vec<String> {
    let mut names = [END_OF_TEXT, PAD, TURN_START, TURN_END].map(str::to_owned).to_vec();
    let sentinels = (0..config.sentinels).map(|n| format!("<extra_id_{n}>"));
    for name in config.special_tokens.iter().cloned().chain(sentinels) {
        if !names.contains(&name) && name != UNKNOWN {
            names.push(name);
        }
    }
    names
}

fn has_unknown(config: &TokenizerConfig) -> bool {
    !matches!(config.algorithm, Algorithm::Bpe | Algorithm::Byte)
}

fn finish(
    config: &TokenizerConfig,
    template: Option<&str>,
    model: ModelWrapper,
    pipeline: Pipeline,
) -> Result<Tokenizer> {
    let mut plain = tokenizers::Tokenizer::new(model);
    plain.with_normalizer(pipeline.normalizer).map_err(TokenizerError::training)?;
    plain.with_pre_tokenizer(pipeline.pre_tokenizer);
    plain.with_decoder(Some(pipeline.decoder));
    let unknown = has_unknown(config).then(|| UNKNOWN.to_owned());
    let specials = unknown.into_iter().chain(added_specials(config));
    plain.add_special_tokens(specials.map(|name| AddedToken::from(name, true))).map_err(TokenizerError::training)?;
    let settings = tokenizer_config(config);
    let template = template.map(|source| ChatTemplate::new(&config.chat_template, source, &settings)).transpose()?;
    Tokenizer::assemble(plain, settings, template).map_err(TokenizerError::training)
}

fn tokenizer_config(config: &TokenizerConfig) -> Map<String, Value> {
    let mut settings = Map::new();
    let mut set = |key: &str, value: Value| settings.insert(key.to_owned(), value);
    let named = [END_OF_TEXT, PAD, UNKNOWN];
    let mut extra = added_specials(config);
    extra.retain(|name| !named.contains(&name.as_str()));
    set("add_bos_token", json!(false));
    set("add_eos_token", json!(false));
    // transformers 5 takes this for its `extra_special_tokens`; 4 does not take a list under that name.
    set("additional_special_tokens", json!(extra));
    set("bos_token", json!(END_OF_TEXT));
    set("clean_up_tokenization_spaces", json!(false));
    set("eos_token", json!(END_OF_TEXT));
    set("model_max_length", json!(1_000_000_000_000_u64));
    set("pad_token", json!(PAD));
    set("tokenizer_class", json!("PreTrainedTokenizerFast"));
    if has_unknown(config) {
        set("unk_token", json!(UNKNOWN));
    }
    settings
}
