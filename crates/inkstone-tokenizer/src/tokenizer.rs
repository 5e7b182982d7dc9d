//! A tokenizer: text to ids and back.

use std::sync::OnceLock;

use inkstone_corpus::chat::Message;
use rayon::prelude::*;
use serde_json::{Map, Value};

use crate::chat::ChatTemplate;
use crate::decoder::StreamDecoder;
use crate::error::{Result, TokenizerError};
use crate::specials::Specials;

/// A trained tokenizer with its special tokens and its chat template.
pub struct Tokenizer {
    /// Encodes with special tokens as ordinary text.
    pub(crate) plain: tokenizers::Tokenizer,
    pub(crate) specials: Specials,
    pub(crate) roles: Roles,
    pub(crate) template: Option<ChatTemplate>,
    /// `tokenizer_config.json` as it was read, without a chat template.
    pub(crate) config: Map<String, Value>,
    pub(crate) vocab_size: usize,
    /// The same, with special tokens recognised; made when a conversation is first encoded.
    pub(crate) recognising: OnceLock<Box<tokenizers::Tokenizer>>,
}

/// The special tokens that have a purpose of their own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Roles {
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub pad: Option<u32>,
    pub unk: Option<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size)
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// All ids are below; special tokens included.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The token that begins a text.
    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// The token that ends a document.
    pub fn eos(&self) -> Option<u32> {
        self.roles.eos
    }

    /// The token that fills a batch.
    pub fn pad(&self) -> Option<u32> {
        self.roles.pad
    }

    /// The token that stands for what the vocabulary can't express.
    pub fn unk(&self) -> Option<u32> {
        self.roles.unk
    }

    /// The id of a token by its string as in `tokenizer.json`.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.plain.token_to_id(token)
    }

    /// The string of a token as in `tokenizer.json` (byte-level tokens in their own alphabet).
    pub fn token(&self, id: u32) -> Option<String> {
        self.plain.id_to_token(id)
    }

    /// Whether an id is that of a special token.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.contains(id)
    }

    /// The ids of a text. Special tokens never arise from it: where their strings stand in the
    /// text, they are encoded as any other text. Only the token for the unknown may occur.
    ///
    /// # Errors
    /// If the text has what the vocabulary can't express and there is no token for that.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.encode_raw(text)?;
        if ids.iter().any(|&id| self.is_control(id)) {
            return self.encode_apart(text);
        }
        Ok(ids)
    }

    /// The ids of many texts, in their order; the work is spread over all threads.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_batch(&self, texts: &[String]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.encode(text)).collect()
    }

    fn encode_raw(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.plain.encode_fast(text, false).map_err(TokenizerError::encode)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The tokenizer that recognises special tokens.
    pub(crate) fn with_specials(&self) -> &tokenizers::Tokenizer {
        self.recognising.get_or_init(|| {
            let mut tokenizer = self.plain.clone();
            tokenizer.set_encode_special_tokens(false);
            Box::new(tokenizer)
        })
    }

    /// A special token other than that for the unknown.
    pub(crate) fn is_control(&self, id: u32) -> bool {
        self.is_special(id) && self.roles.unk != Some(id)
    }

    /// Encodes a text in which a special token is also an ordinary piece of the vocabulary (other
    /// programs' tokenizers have such): the text is cut inside each occurrence.
    fn encode_apart(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        let mut from = 0;
        for to in self.cuts(text) {
            ids.extend(self.encode_raw(&text[from..to])?);
            from = to;
        }
        match ids.iter().find(|&&id| self.is_control(id)) {
            Some(&id) => Err(TokenizerError::SpecialInText { token: self.token(id).unwrap_or_default() }),
            None => Ok(ids),
        }
    }

    /// After the first character of each special token's string, and at the end.
    fn cuts(&self, text: &str) -> Vec<usize> {
        let after_first = |start: usize| start + text[start..].chars().next().map_or(0, char::len_utf8);
        let mut cuts: Vec<usize> =
            self.specials.occurrences(text).into_iter().map(|(range, _)| after_first(range.start)).collect();
        cuts.push(text.len());
        cuts.dedup();
        cuts
    }

    /// The text of ids; special tokens are skipped.
    ///
    /// # Errors
    /// If an id is outside of the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= self.vocab_size) {
            return Err(TokenizerError::UnknownId { id, vocab_size: self.vocab_size });
        }
        self.plain.decode(ids, true).map_err(|error| TokenizerError::Decode { reason: error.to_string() })
    }

    /// A decoder for ids that come one at a time.
    pub fn decoder(&self) -> StreamDecoder<'_> {
        StreamDecoder::new(self)
    }

    /// The longest text in tokens that `transformers` accepts without a warning.
    pub fn set_model_max_length(&mut self, tokens: usize) {
        self.config.insert("model_max_length".to_owned(), tokens.into());
    }

    /// Whether conversations can be written.
    pub fn has_chat_template(&self) -> bool {
        self.template.is_some()
    }

    /// The source of the chat template.
    pub fn chat_template(&self) -> Option<&str> {
        self.template.as_ref().map(ChatTemplate::source)
    }

    /// The ids at which generation ends: the end of a document, and the special token with which
    /// the chat template ends an assistant's turn.
    pub fn stop_ids(&self) -> Vec<u32> {
        let mut ids: Vec<u32> = self.eos().into_iter().collect();
        ids.extend(self.end_of_turn().filter(|id| self.eos() != Some(*id)));
        ids
    }

    /// A conversation as text, special tokens as their strings. Templates that ask for the date get
    /// today's, in UTC.
    ///
    /// # Errors
    /// If there is no template, or it refuses the conversation.
    pub fn render_chat(&self, messages: &[Message], add_generation_prompt: bool) -> Result<String> {
        self.render_text(messages, add_generation_prompt)
    }

    /// The ids of a conversation. Special tokens come from the template alone: where their strings
    /// stand inside of a message they are encoded as any other text.
    ///
    /// # Errors
    /// As [`render_chat`](Self::render_chat) and [`encode`](Self::encode).
    pub fn encode_chat(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Vec<u32>> {
        self.encode_rendered(messages, add_generation_prompt)
    }

    /// The ids of a whole conversation, and for each whether the assistant wrote it (the end of its
    /// turn included), which is what is learnt. Templates that ask for the date get
    /// [`TRAINING_DATE`](crate::TRAINING_DATE).
    ///
    /// # Errors
    /// As [`encode_chat`](Self::encode_chat); if no turn is the assistant's, or the template does not
    /// tell where one begins and ends.
    pub fn encode_training(&self, messages: &[Message]) -> Result<(Vec<u32>, Vec<bool>)> {
        self.encode_masked(messages, 0)
    }

    /// [`encode_training`](Self::encode_training) without the first `bytes` of the last answer among what is learnt.
    ///
    /// # Errors
    /// As there; if the template does not write the answer as it is.
    pub fn encode_training_behind(&self, messages: &[Message], bytes: usize) -> Result<(Vec<u32>, Vec<bool>)> {
        self.encode_masked(messages, bytes)
    }
}
